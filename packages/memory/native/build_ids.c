/* See build_ids.h. The note's layout is in elf(5), under "Notes". */
#include "build_ids.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct search {
    uintptr_t address;
    struct build_id *id;
};

/* Whether all of this lies in one segment that is loaded and may be read: headers can claim
   anything, and a wrong one must not end the host. */
static bool
is_readable(const struct dl_phdr_info *object, uintptr_t start, size_t size)
{
    for (size_t at = 0; at < object->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[at];
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && segment->p_flags & PF_R && start >= begin &&
            start - begin <= segment->p_memsz && size <= segment->p_memsz - (start - begin)) {
            return true;
        }
    }
    return false;
}

static bool
holds(const struct dl_phdr_info *object, uintptr_t address)
{
    for (size_t at = 0; at < object->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[at];
        if (segment->p_type == PT_LOAD &&
            address - (object->dlpi_addr + segment->p_vaddr) < segment->p_memsz) {
            return true;
        }
    }
    return false;
}

/* How many bytes `size` takes with its padding; SIZE_MAX if it would not fit into `most`. */
static size_t
padded(size_t size, size_t alignment, size_t most)
{
    size_t rest = size % alignment;
    size_t whole = rest == 0 ? size : size + (alignment - rest);
    return size <= most && whole <= most ? whole : SIZE_MAX;
}

/* Look through the notes in `left` bytes. What a note says of its sizes is not believed. */
static bool
find_in_notes(const unsigned char *at, size_t left, size_t alignment, struct build_id *id)
{
    ElfW(Nhdr) note;
    while (left >= sizeof(note)) {
        memcpy(&note, at, sizeof(note));
        at += sizeof(note);
        left -= sizeof(note);
        size_t name = padded(note.n_namesz, alignment, left);
        if (name == SIZE_MAX || note.n_descsz > left - name) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof("GNU") &&
            memcmp(at, "GNU", sizeof("GNU")) == 0 && note.n_descsz > 0 &&
            note.n_descsz <= BUILD_ID_MOST) {
            id->size = note.n_descsz;
            memcpy(id->bytes, at + name, note.n_descsz);
            return true;
        }
        size_t description = padded(note.n_descsz, alignment, left - name);
        if (description == SIZE_MAX) {
            return false;
        }
        at += name + description;
        left -= name + description;
    }
    return false;
}

/* Called for each object in turn; ends the search by returning 1. */
static int
look_at(struct dl_phdr_info *object, size_t size, void *argument)
{
    struct search *search = argument;
    (void)size;
    if (!holds(object, search->address)) {
        return 0;
    }
    for (size_t at = 0; at < object->dlpi_phnum && search->id->size == 0; at++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[at];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_NOTE && is_readable(object, start, segment->p_memsz)) {
            find_in_notes((const unsigned char *)start, segment->p_memsz,
                          segment->p_align == 8 ? 8 : 4, search->id);
        }
    }
    return 1;
}

bool
build_id_of(uintptr_t address, struct build_id *id)
{
    struct search search = {address, id};
    id->size = 0;
    dl_iterate_phdr(look_at, &search);
    return id->size > 0;
}
