/* See dump_file.h. The format is described in docs/heap-profiles.md. */
#include "dump_file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "build_ids.h"
#include "python_frames.h"

enum {
    BUFFER_BYTES = 1 << 18,
    LONGEST_NUMBERS = 128, /* bytes of anything that is printed by a format */
};

/* --- writing ------------------------------------------------------------------------------ */

struct writer {
    int descriptor, error;
    size_t used;
    char *buffer;
};

static void
write_all(struct writer *writer, const char *bytes, size_t size)
{
    while (size > 0 && writer->error == 0) {
        ssize_t written = write(writer->descriptor, bytes, size);
        if (written < 0 && errno != EINTR) {
            writer->error = errno;
        }
        else if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

static void
flush(struct writer *writer)
{
    write_all(writer, writer->buffer, writer->used);
    writer->used = 0;
}

static void
put(struct writer *writer, const char *bytes, size_t size)
{
    if (size > BUFFER_BYTES - writer->used) {
        flush(writer);
    }
    if (size > BUFFER_BYTES) {
        write_all(writer, bytes, size);
        return;
    }
    memcpy(writer->buffer + writer->used, bytes, size);
    writer->used += size;
}

static void
put_string(struct writer *writer, const char *string)
{
    put(writer, string, strlen(string));
}

#define PUT_FORMAT(writer, ...)                                                                    \
    do {                                                                                           \
        char formatted[LONGEST_NUMBERS];                                                           \
        put(writer, formatted, (size_t)snprintf(formatted, sizeof(formatted), __VA_ARGS__));       \
    } while (0)

/* A text in which nothing ends a line, and no "--", at which jeprof would split it. Also
   without `special`, at which a reader does. */
static void
put_text(struct writer *writer, const char *text, size_t size, char special)
{
    static const char DIGITS[] = "0123456789ABCDEF";
    for (size_t at = 0; at < size; at++) {
        unsigned char byte = (unsigned char)text[at];
        bool dashes = byte == '-' && at > 0 && text[at - 1] == '-';
        if (byte < ' ' || byte == 0x7f || byte == '%' || dashes || (char)byte == special) {
            const char escaped[3] = {'%', DIGITS[byte >> 4], DIGITS[byte & 15]};
            put(writer, escaped, sizeof(escaped));
        }
        else {
            put(writer, text + at, 1);
        }
    }
}

/* --- which addresses there are ------------------------------------------------------------- */

struct addresses {
    uint8_t python[FRAMES_MOST / 8]; /* a bit for each index */
    uintptr_t *native;               /* open addressing; 0 = free */
    size_t native_slots, native_used;
};

static bool
grow(struct addresses *set)
{
    struct addresses old = *set;
    set->native_slots = old.native_slots != 0 ? 4 * old.native_slots : 4096;
    set->native = pages_take(set->native_slots * sizeof(*set->native));
    if (set->native == NULL) {
        *set = old;
        return false;
    }
    for (size_t from = 0; from < old.native_slots; from++) {
        size_t at = old.native[from] * 0x9e3779b97f4a7c15u >> 20 & (set->native_slots - 1);
        while (old.native[from] != 0 && set->native[at] != 0) {
            at = (at + 1) & (set->native_slots - 1);
        }
        if (old.native[from] != 0) {
            set->native[at] = old.native[from];
        }
    }
    pages_give_back(old.native, old.native_slots * sizeof(*old.native));
    return true;
}

static void
add_native(struct addresses *set, uintptr_t address)
{
    if (set->native_used * 2 >= set->native_slots && !grow(set)) {
        return; /* without memory it stays a number */
    }
    size_t mask = set->native_slots - 1, at = address * 0x9e3779b97f4a7c15u >> 20 & mask;
    while (set->native[at] != 0 && set->native[at] != address) {
        at = (at + 1) & mask;
    }
    set->native_used += set->native[at] == 0;
    set->native[at] = address;
}

static void
add_address(struct addresses *set, uintptr_t address)
{
    if (frames_is_address(address)) {
        uint32_t index = frames_index(address) & (FRAMES_MOST - 1);
        set->python[index / 8] |= (uint8_t)(1 << index % 8);
    }
    else if (address != 0) {
        add_native(set, address);
    }
}

/* Read the hexadecimal digits at `at`; returns what follows them. */
static const char *
read_address(const char *at, const char *end, uintptr_t *address)
{
    for (*address = 0; at < end; at++) {
        if (*at >= '0' && *at <= '9') {
            *address = *address << 4 | (uintptr_t)(*at - '0');
        }
        else if (*at >= 'a' && *at <= 'f') {
            *address = *address << 4 | (uintptr_t)(*at - 'a' + 10);
        }
        else {
            break;
        }
    }
    return at;
}

/* Add the addresses of a record's first line: `@ 0x... 0x...`. */
static void
add_of_line(struct addresses *set, const char *at, const char *end)
{
    while (at < end) {
        uintptr_t address;
        at = memchr(at, 'x', (size_t)(end - at));
        if (at == NULL) {
            return;
        }
        at = read_address(at + 1, end, &address);
        add_address(set, address);
    }
}

static void
add_of_heap(struct addresses *set, const struct heap_profile *heap)
{
    const char *at = heap->records, *end = at + heap->records_size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end != NULL ? line_end : end;
        if (*at == '@') {
            add_of_line(set, at, line_end);
        }
        at = line_end + 1;
    }
}

static const struct sample *
next_sample(const struct snapshot *samples, const struct sample *sample)
{
    const char *next = sample == NULL ? samples->start
                                      : (const char *)sample + sample_bytes(sample->depth);
    return next < samples->start + samples->size ? (const struct sample *)next : NULL;
}

static void
add_of_samples(struct addresses *set, const struct snapshot *samples)
{
    const struct sample *sample = NULL;
    while ((sample = next_sample(samples, sample)) != NULL) {
        for (unsigned at = 0; at < sample->depth; at++) {
            add_address(set, frames_address(sample->frames[at]));
        }
    }
}

/* --- symbols -------------------------------------------------------------------------------- */

/* Each address is named twice: jeprof looks callers up one below it, and the innermost at it. */

static void
put_python_symbol(struct writer *writer, uint32_t index)
{
    struct frame_text text;
    if (!frames_text(index, &text)) {
        return;
    }
    for (uintptr_t key = frames_address(index) - 1; key <= frames_address(index); key++) {
        PUT_FORMAT(writer, "0x%" PRIxPTR " ", key);
        put_text(writer, text.function, text.function_length, '(');
        if (text.file != NULL) {
            put_string(writer, " (");
            put_text(writer, text.file, text.file_length, '%');
            PUT_FORMAT(writer, ":%d)", text.line);
        }
        put_string(writer, "\n");
    }
}

/* All native addresses are return addresses: the call is before them. */
static void
put_native_symbol(struct writer *writer, uintptr_t address)
{
    Dl_info found;
    if (dladdr((void *)(address - 1), &found) == 0 || found.dli_fname == NULL) {
        return;
    }
    for (uintptr_t key = address - 1; key <= address; key++) {
        PUT_FORMAT(writer, "0x%" PRIxPTR " ", key);
        if (found.dli_sname != NULL) {
            put_text(writer, found.dli_sname, strlen(found.dli_sname), '(');
        }
        else {
            PUT_FORMAT(writer, "+0x%" PRIxPTR, address - 1 - (uintptr_t)found.dli_fbase);
        }
        put_string(writer, " (");
        put_text(writer, found.dli_fname, strlen(found.dli_fname), '%');
        put_string(writer, ")\n");
    }
}

static void
put_symbols(struct writer *writer, const struct addresses *set)
{
    for (uint32_t index = 0; index < FRAMES_MOST; index++) {
        if (set->python[index / 8] & 1 << index % 8) {
            put_python_symbol(writer, index);
        }
    }
    for (size_t at = 0; at < set->native_slots; at++) {
        if (set->native[at] != 0) {
            put_native_symbol(writer, set->native[at]);
        }
    }
}

/* --- build ids ------------------------------------------------------------------------------ */

/* Whether a line of the list of what is mapped is about `address`; it begins `start-end `. */
static bool
is_about(const char *line, const char *end, uintptr_t address)
{
    uintptr_t first, last;
    const char *dash = read_address(line, end, &first);
    if (dash == end || *dash != '-') {
        return false;
    }
    read_address(dash + 1, end, &last);
    return first <= address && address < last;
}

/* The name of the file that `address` lies in, as the kernel lists it; NULL if it lies in none. */
static const char *
find_mapped(const struct heap_profile *heap, uintptr_t address, size_t *length)
{
    static const char DELETED[] = " (deleted)"; /* follows the name if another has its place */
    const size_t suffix = sizeof(DELETED) - 1;
    const char *at = heap->mapped, *end = at + heap->mapped_size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end != NULL ? line_end : end;
        const char *name = memchr(at, '/', (size_t)(line_end - at));
        if (name != NULL && is_about(at, line_end, address)) {
            *length = (size_t)(line_end - name);
            bool is_deleted = *length > suffix && memcmp(line_end - suffix, DELETED, suffix) == 0;
            *length -= is_deleted ? suffix : 0;
            return name;
        }
        at = line_end + 1;
    }
    return NULL;
}

static void
put_build_id(struct writer *writer, const struct build_id *id, const char *name, size_t length)
{
    put_string(writer, "# build_id: ");
    for (size_t at = 0; at < id->size; at++) {
        PUT_FORMAT(writer, "%02x", id->bytes[at]);
    }
    put_string(writer, " ");
    put_text(writer, name, length, '%');
    put_string(writer, "\n");
}

/* Under both names that a library has: the loader's first, which its frames have too, then the
   kernel's, which stands in the list of what is mapped. They differ by symbolic links. */
static void
put_build_ids_of(struct writer *writer, const Dl_info *library, uintptr_t address,
                 const struct heap_profile *heap)
{
    struct build_id id;
    size_t length = 0;
    if (!build_id_of(address, &id)) {
        return;
    }
    const char *mapped = find_mapped(heap, address, &length);
    put_build_id(writer, &id, library->dli_fname, strlen(library->dli_fname));
    if (mapped != NULL && (strlen(library->dli_fname) != length ||
                           memcmp(library->dli_fname, mapped, length) != 0)) {
        put_build_id(writer, &id, mapped, length);
    }
}

/* Put one for each library that a native address lies in. */
static void
put_build_ids(struct writer *writer, const struct addresses *set, const struct heap_profile *heap)
{
    struct addresses known = {0};
    for (size_t at = 0; at < set->native_slots; at++) {
        Dl_info found;
        uintptr_t call = set->native[at] - 1;
        if (set->native[at] == 0 || dladdr((void *)call, &found) == 0 || found.dli_fname == NULL) {
            continue;
        }
        size_t before = known.native_used;
        add_native(&known, (uintptr_t)found.dli_fbase);
        if (known.native_used > before) {
            put_build_ids_of(writer, &found, call, heap);
        }
    }
    pages_give_back(known.native, known.native_slots * sizeof(*known.native));
}

/* --- the sampler's records -------------------------------------------------------------------- */

/* Samples of one stack, size and interval. */
struct group {
    const struct sample *one;
    uint64_t samples;
};

struct groups {
    struct group *slots; /* open addressing; without a sample = free */
    size_t size, mask;
};

static bool
are_alike(const struct sample *one, const struct sample *other)
{
    return one->size == other->size && one->depth == other->depth &&
           one->lg_interval == other->lg_interval &&
           memcmp(one->frames, other->frames, one->depth * sizeof(one->frames[0])) == 0;
}

static size_t
hash_of(const struct sample *sample)
{
    uint64_t hash = sample->size;
    for (unsigned at = 0; at < sample->depth; at++) {
        hash = (hash ^ sample->frames[at]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return (size_t)hash;
}

static void
add_sample(struct groups *groups, const struct sample *sample)
{
    size_t at = hash_of(sample) & groups->mask;
    while (groups->slots[at].one != NULL && !are_alike(groups->slots[at].one, sample)) {
        at = (at + 1) & groups->mask;
    }
    if (groups->slots[at].one == NULL) {
        groups->slots[at].one = sample;
    }
    groups->slots[at].samples++;
}

static bool
group(const struct snapshot *samples, struct groups *groups)
{
    const struct sample *sample = NULL;
    size_t slots = 16, number = 0;
    while ((sample = next_sample(samples, sample)) != NULL) {
        number++;
    }
    while (slots < 2 * number) {
        slots *= 2;
    }
    *groups = (struct groups){.size = slots * sizeof(struct group), .mask = slots - 1};
    groups->slots = pages_take(groups->size);
    if (groups->slots == NULL) {
        return false;
    }
    while ((sample = next_sample(samples, sample)) != NULL) {
        add_sample(groups, sample);
    }
    return true;
}

/* The smallest and the largest interval of the samples, as logarithms; both `lg` without any. */
static void
find_intervals(const struct snapshot *samples, unsigned lg, unsigned *finest, unsigned *coarsest)
{
    const struct sample *sample = NULL;
    *finest = *coarsest = lg;
    while ((sample = next_sample(samples, sample)) != NULL) {
        *finest = sample->lg_interval < *finest ? sample->lg_interval : *finest;
        *coarsest = sample->lg_interval > *coarsest ? sample->lg_interval : *coarsest;
    }
}

static double
chance(uint64_t size, unsigned lg_interval)
{
    return -expm1(-(double)size / (double)((uint64_t)1 << lg_interval));
}

/* How many samples at the file's interval stand for as many blocks as this group does.

   A reader divides by the chance at the file's interval; so it is multiplied by here. The
   number must be whole: what is rounded off is carried over to the next group. */
static uint64_t
rebiased(const struct group *group, unsigned lg_interval, double *carry)
{
    if (group->one->lg_interval == lg_interval) {
        return group->samples;
    }
    double exact = *carry + (double)group->samples * chance(group->one->size, lg_interval) /
                                chance(group->one->size, group->one->lg_interval);
    double whole = exact < 1 ? 1 : floor(exact + 0.5);
    *carry = exact - whole;
    return (uint64_t)whole;
}

static void
put_group(struct writer *writer, const struct group *group, uint64_t objects)
{
    put_string(writer, "@");
    for (unsigned at = 0; at < group->one->depth; at++) {
        PUT_FORMAT(writer, " 0x%" PRIxPTR, frames_address(group->one->frames[at]));
    }
    PUT_FORMAT(writer, "\n  t*: %" PRIu64 ": %" PRIu64 " [0: 0]\n", objects,
               objects * group->one->size);
}

/* Put all groups, or with `writer` NULL only add them up. */
static void
put_groups(struct writer *writer, const struct groups *groups, unsigned lg_interval,
           uint64_t *objects, uint64_t *bytes)
{
    double carry = 0;
    for (size_t at = 0; at <= groups->mask; at++) {
        const struct group *group = &groups->slots[at];
        if (group->one == NULL) {
            continue;
        }
        uint64_t number = rebiased(group, lg_interval, &carry);
        *objects += number;
        *bytes += number * group->one->size;
        if (writer != NULL) {
            put_group(writer, group, number);
        }
    }
}

/* --- the file --------------------------------------------------------------------------------- */

static void
put_file(struct writer *writer, const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = 1;
    while (descriptor >= 0 && size > 0) {
        flush(writer);
        size = read(descriptor, writer->buffer, BUFFER_BYTES);
        writer->used = size > 0 ? (size_t)size : 0;
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
}

static void
put_symbol_block(struct writer *writer, const struct dump_request *request, unsigned coarsest)
{
    struct addresses set = {0};
    put_string(writer, "--- symbol\n");
    put(writer, request->preface, request->preface_size);
    PUT_FORMAT(writer, "# coarsest_interval_bytes: %" PRIu64 "\n", (uint64_t)1 << coarsest);
    if (request->heap != NULL) {
        add_of_heap(&set, request->heap);
    }
    add_of_samples(&set, request->samples);
    if (request->heap != NULL) { /* the sampler's own frames are Python's */
        put_build_ids(writer, &set, request->heap);
    }
    put_symbols(writer, &set);
    pages_give_back(set.native, set.native_slots * sizeof(*set.native));
}

static void
put_heap_block(struct writer *writer, const struct dump_request *request,
               const struct groups *groups, unsigned lg_interval, uint64_t *objects)
{
    const struct heap_profile *heap = request->heap;
    uint64_t bytes = heap != NULL ? heap->bytes : 0, again = 0;
    *objects = heap != NULL ? heap->objects : 0;
    put_groups(NULL, groups, lg_interval, objects, &bytes);
    PUT_FORMAT(writer, "---\n--- heap\nheap_v2/%" PRIu64 "\n", (uint64_t)1 << lg_interval);
    PUT_FORMAT(writer, "  t*: %" PRIu64 ": %" PRIu64 " [0: 0]\n", *objects, bytes);
    if (heap != NULL) {
        put(writer, heap->records, heap->records_size);
    }
    put_groups(writer, groups, lg_interval, &again, &again);
    if (heap != NULL) {
        put(writer, heap->mapped, heap->mapped_size);
    }
    else {
        put_string(writer, "\nMAPPED_LIBRARIES:\n");
        put_file(writer, "/proc/self/maps");
    }
}

int
dump_write(const struct dump_request *request, uint64_t *objects)
{
    struct writer writer = {.descriptor = request->descriptor, .buffer = pages_take(BUFFER_BYTES)};
    struct groups groups;
    unsigned finest, coarsest;
    if (writer.buffer == NULL || !group(request->samples, &groups)) {
        pages_give_back(writer.buffer, BUFFER_BYTES);
        return ENOMEM;
    }
    find_intervals(request->samples, request->lg_interval, &finest, &coarsest);
    put_symbol_block(&writer, request, coarsest);
    put_heap_block(&writer, request, &groups, finest, objects);
    flush(&writer);
    pages_give_back(groups.slots, groups.size);
    pages_give_back(writer.buffer, BUFFER_BYTES);
    return writer.error;
}
