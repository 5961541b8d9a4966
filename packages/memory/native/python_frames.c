/* See python_frames.h. Nothing here allocates, locks, counts references or calls what could.

   Two tables. The first is a cache from the identity of a code object and the place in
   it to a frame: one word per slot, overwritten at will, so that it can be wrong about
   nothing worse than a miss. The second is the truth: texts that are only ever added. */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030e0000
#include "internal/pycore_interpframe.h"
#include "internal/pycore_code.h"
#else
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"
#endif
#undef Py_BUILD_CORE

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "pages.h"
#include "python_frames.h"

#ifdef Py_GIL_DISABLED
#error "free-threaded builds of CPython are not supported"
#endif
#if PY_VERSION_HEX < 0x030b0000 || PY_VERSION_HEX >= 0x03100000
#error "the frames of this version of CPython are not known"
#endif

enum {
    SLOT_BITS = 17, /* twice as many as frames, so that probing stays short */
    CACHE_BITS = 15,
    LONGEST_TEXT = 1000, /* bytes of a name; what is longer is cut behind this one */
    ROOM_FOR_TEXT = LONGEST_TEXT + 3, /* whose last character may have four */
    LONGEST_PROBE = 64,
    INDEX_BITS = 17,
};
#define TEXT_BYTES ((size_t)FRAMES_MOST * 160)
#define INDEX_MASK (((uint64_t)1 << INDEX_BITS) - 1)

struct entry {
    uint32_t text; /* offset of the function's name, which the file's follows */
    uint16_t function_length;
    uint16_t file_length;
    int32_t line;
};

static struct entry *entries;
static char *texts;
static _Atomic uint64_t *slots; /* content hash above, index of the entry below; 0 = free */
static _Atomic uint64_t *cache; /* likewise, by identity */
static atomic_uint entries_used = FRAMES_FIRST;
static atomic_size_t text_used;

static const char *const MARKERS[FRAMES_FIRST] = {
    [FRAMES_FULL] = "[no room for more frames]",
    [FRAMES_CUT] = "[deeper frames are cut]",
    [FRAMES_NONE] = "[no Python]",
};

bool
frames_prepare(void)
{
    if (entries != NULL) {
        return true;
    }
    size_t slots_size = sizeof(*slots) << SLOT_BITS;
    size_t cache_size = sizeof(*cache) << CACHE_BITS;
    texts = pages_take(TEXT_BYTES);
    slots = pages_take(slots_size);
    cache = pages_take(cache_size);
    struct entry *taken = pages_take(sizeof(*entries) * FRAMES_MOST);
    if (texts == NULL || slots == NULL || cache == NULL || taken == NULL) {
        pages_give_back(texts, TEXT_BYTES);
        pages_give_back((void *)slots, slots_size);
        pages_give_back((void *)cache, cache_size);
        pages_give_back(taken, sizeof(*entries) * FRAMES_MOST);
        return false;
    }
    entries = taken;
    return true;
}

/* --- what CPython's versions differ in ------------------------------------------------ */

/* The state of the thread that holds the GIL. Better than the other one where a thread runs
   several interpreters (3.11), but it may lie in a thread-local variable of a library,
   which inside malloc must not be touched: the loader may be growing its table of them. */
static PyThreadState *
gil_holder(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

bool
frames_gil_is_held(void)
{
    return gil_holder() != NULL; /* in 3.11 this only says that somebody does */
}

/* From 3.15 on the thread's state lies in a thread-local variable also for who has no GIL. In the
   executable, or in a library linked for that (DF_STATIC_TLS), it has a fixed place. Any other
   library asks the loader for it, which may then be growing its table of such variables: with
   the very call of malloc that we are in. It would do so twice, and free the first one twice. */
bool
frames_usable_in_malloc(void)
{
#if PY_VERSION_HEX >= 0x030f0000
    Dl_info found;
    struct link_map *object = NULL;
    if (dladdr1((void *)(uintptr_t)Py_GetVersion, &found, (void **)&object, RTLD_DL_LINKMAP) == 0) {
        return false;
    }
    if (object->l_prev == NULL) { /* the executable is the first */
        return true;
    }
    for (const ElfW(Dyn) *entry = object->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_FLAGS) {
            return (entry->d_un.d_val & DF_STATIC_TLS) != 0;
        }
    }
    return false;
#else
    return true;
#endif
}

static struct _PyInterpreterFrame *
innermost_frame(PyThreadState *thread)
{
#if PY_VERSION_HEX >= 0x030d0000
    return thread->current_frame;
#else
    return thread->cframe != NULL ? thread->cframe->current_frame : NULL;
#endif
}

static PyCodeObject *
frame_code(struct _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030d0000
    return _PyFrame_GetCode(frame);
#else
    return frame->f_code;
#endif
}

/* Where in the code the frame is, in bytes; negative before the first instruction. */
static int
frame_offset(struct _PyInterpreterFrame *frame, PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030d0000
    _Py_CODEUNIT *at = frame->instr_ptr;
#else
    _Py_CODEUNIT *at = frame->prev_instr;
#endif
    return (int)((char *)at - (char *)_PyCode_CODE(code));
}

/* Whether the frame was entered from C, so that the interpreter's own native frame lies
   right below it. From 3.12 on such a frame stands on one that C owns. */
static bool
is_entry(struct _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030e0000
    return frame->previous == NULL || frame->previous->owner >= FRAME_OWNED_BY_INTERPRETER;
#elif PY_VERSION_HEX >= 0x030c0000
    return frame->previous == NULL || frame->previous->owner == FRAME_OWNED_BY_CSTACK;
#else
    return frame->is_entry;
#endif
}

/* --- a code object's content ----------------------------------------------------------- */

static uint64_t
mixed(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 32);
}

static inline uint64_t
word_at(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Four chains that do not wait for one another: a table of lines may have a kilobyte. */
static uint64_t
hash_of(const char *bytes, size_t length)
{
    uint64_t hash = length, second = 1, third = 2, fourth = 3;
    for (; length >= 32; bytes += 32, length -= 32) {
        hash = mixed(hash, word_at(bytes));
        second = mixed(second, word_at(bytes + 8));
        third = mixed(third, word_at(bytes + 16));
        fourth = mixed(fourth, word_at(bytes + 24));
    }
    hash = mixed(mixed(hash, second), mixed(third, fourth));
    for (; length >= 8; bytes += 8, length -= 8) {
        hash = mixed(hash, word_at(bytes));
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, length);
    return mixed(hash, rest);
}

/* Of a text's content; most carry Python's own hash of it. */
static uint64_t
hash_of_text(PyObject *text)
{
    Py_hash_t known = ((PyASCIIObject *)text)->hash;
    if (known != -1) {
        return (uint64_t)known;
    }
    size_t size = (size_t)PyUnicode_GET_LENGTH(text) * (size_t)PyUnicode_KIND(text);
    return hash_of(PyUnicode_DATA(text), size);
}

/* What tells this place in this code object from every other that is or was.

   Addresses are used again. From 3.12 on each code object has a number of its own; before
   that (and when the numbers have run out) its texts and the whole table of lines are taken
   instead, so that a successor at the same address is noticed if anything of it shows. */
static uint64_t
identity(PyCodeObject *code, int offset)
{
    uint64_t hash = mixed((uintptr_t)code, (unsigned)offset);
    hash = mixed(hash, (uintptr_t)code->co_filename);
#if PY_VERSION_HEX >= 0x030c0000
    if (code->co_version != 0) {
        return mixed(hash, code->co_version);
    }
#endif
    hash = mixed(hash, hash_of_text(code->co_filename));
    hash = mixed(hash, hash_of_text(code->co_qualname));
    hash = mixed(hash, (unsigned)code->co_firstlineno);
    PyObject *table = code->co_linetable;
    return mixed(hash, hash_of(PyBytes_AS_STRING(table), (size_t)PyBytes_GET_SIZE(table)));
}

/* --- lines: the location table, Objects/locations.md of CPython 3.11 and later ---------- */

static const unsigned char *
read_varint(const unsigned char *at, const unsigned char *end, unsigned *value)
{
    unsigned shift = 0;
    *value = 0;
    while (at < end) {
        unsigned char byte = *at++;
        if (shift < 32) {
            *value |= (unsigned)(byte & 63) << shift;
        }
        shift += 6;
        if (!(byte & 64)) {
            break;
        }
    }
    return at;
}

static int
signed_of(unsigned value)
{
    return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

/* The line of the instruction at `offset` bytes. Entries without a line keep the last one. */
static int
line_at(PyCodeObject *code, int offset)
{
    enum { SHORT_END = 10, ONE_LINE_END = 13, NO_COLUMNS = 13, LONG = 14 };
    int line = code->co_firstlineno;
    if (offset < 0) {
        return line;
    }
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(code->co_linetable);
    const unsigned char *end = at + PyBytes_GET_SIZE(code->co_linetable);
    int covered = 0;
    while (at < end) {
        unsigned char first = *at++;
        unsigned kind = (first >> 3) & 15, value;
        if (kind == LONG || kind == NO_COLUMNS) {
            at = read_varint(at, end, &value);
            line += signed_of(value);
        }
        else if (kind >= SHORT_END && kind < ONE_LINE_END) {
            line += (int)kind - SHORT_END;
        }
        covered += ((first & 7) + 1) * (int)sizeof(_Py_CODEUNIT);
        if (covered > offset) {
            break;
        }
        while (at < end && !(*at & 128)) { /* the columns; only a first byte has this bit */
            at++;
        }
    }
    return line;
}

/* --- texts ---------------------------------------------------------------------------- */

static size_t
encode(Py_UCS4 character, char *at)
{
    if (character < 0x80) {
        at[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        at[0] = (char)(0xc0 | character >> 6);
        at[1] = (char)(0x80 | (character & 63));
        return 2;
    }
    if (character >= 0xd800 && character < 0xe000) { /* surrogates have no UTF-8 */
        at[0] = '?';
        return 1;
    }
    if (character < 0x10000) {
        at[0] = (char)(0xe0 | character >> 12);
        at[1] = (char)(0x80 | (character >> 6 & 63));
        at[2] = (char)(0x80 | (character & 63));
        return 3;
    }
    at[0] = (char)(0xf0 | character >> 18);
    at[1] = (char)(0x80 | (character >> 12 & 63));
    at[2] = (char)(0x80 | (character >> 6 & 63));
    at[3] = (char)(0x80 | (character & 63));
    return 4;
}

/* Write `text` as UTF-8 to `bytes`, which has ROOM_FOR_TEXT, and return its length.
   Read raw: PyUnicode_AsUTF8 allocates. Of a longer file name the end is kept. */
static uint32_t
copy_text(PyObject *text, bool keep_end, char *bytes)
{
    if (text == NULL || !PyUnicode_Check(text)) {
        bytes[0] = '?';
        return 1;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (!PyUnicode_IS_READY(text)) {
        bytes[0] = '?';
        return 1;
    }
#endif
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    Py_ssize_t from = keep_end && length > LONGEST_TEXT / 4 ? length - LONGEST_TEXT / 4 : 0;
    if (length <= LONGEST_TEXT && PyUnicode_IS_ASCII(text)) {
        from = 0;
    }
    size_t written = 0;
    for (Py_ssize_t i = from; i < length && written < LONGEST_TEXT; i++) {
        written += encode(PyUnicode_READ(kind, data, i), bytes + written);
    }
    return (uint32_t)written;
}

/* --- the tables ------------------------------------------------------------------------ */

static bool
holds(uint32_t index, const char *text, uint32_t function_length, uint32_t file_length, int line)
{
    const struct entry *entry = &entries[index];
    return entry->line == line && entry->function_length == function_length &&
           entry->file_length == file_length &&
           memcmp(texts + entry->text, text, (size_t)function_length + file_length) == 0;
}

/* Add an entry; FRAMES_FULL if there is no room. `text` is the function's name, then the file's. */
static uint32_t
add_entry(const char *text, uint32_t function_length, uint32_t file_length, int line)
{
    size_t size = (size_t)function_length + file_length;
    if (atomic_load(&entries_used) >= FRAMES_MOST || atomic_load(&text_used) + size > TEXT_BYTES) {
        return FRAMES_FULL;
    }
    uint32_t index = atomic_fetch_add(&entries_used, 1);
    size_t at = atomic_fetch_add(&text_used, size);
    if (index >= FRAMES_MOST || at + size > TEXT_BYTES) { /* others were faster */
        return FRAMES_FULL;
    }
    memcpy(texts + at, text, size);
    entries[index] = (struct entry){(uint32_t)at, (uint16_t)function_length,
                                    (uint16_t)file_length, line};
    return index;
}

/* The index of the frame with this text, added if it is new. Two threads that add the same
   at once may leave one entry unused; a thread that stops half-way leaves nothing behind. */
static uint32_t
intern(const char *text, uint32_t function_length, uint32_t file_length, int line)
{
    uint64_t hash = hash_of(text, (size_t)function_length + file_length);
    hash = mixed(mixed(hash, function_length), (unsigned)line);
    uint64_t tag = hash & ~INDEX_MASK, mask = ((uint64_t)1 << SLOT_BITS) - 1;
    uint32_t own = 0;
    for (unsigned probe = 0; probe < LONGEST_PROBE; probe++) {
        _Atomic uint64_t *slot = &slots[((hash >> 20) + probe) & mask];
        uint64_t found = atomic_load_explicit(slot, memory_order_acquire);
        if (found == 0) {
            if (own == 0 && (own = add_entry(text, function_length, file_length, line)) ==
                                FRAMES_FULL) {
                return FRAMES_FULL;
            }
            if (atomic_compare_exchange_strong(slot, &found, tag | own)) {
                return own;
            }
        }
        uint32_t index = (uint32_t)(found & INDEX_MASK);
        if ((found & ~INDEX_MASK) == tag &&
            holds(index, text, function_length, file_length, line)) {
            return index;
        }
    }
    return FRAMES_FULL;
}

static uint32_t
resolve(PyCodeObject *code, int offset)
{
    char text[2 * ROOM_FOR_TEXT];
    uint32_t function_length = copy_text(code->co_qualname, false, text);
    uint32_t file_length = copy_text(code->co_filename, true, text + function_length);
    return intern(text, function_length, file_length, line_at(code, offset));
}

static uint32_t
frame_index(struct _PyInterpreterFrame *frame)
{
    PyCodeObject *code = frame_code(frame);
    int offset = frame_offset(frame, code);
    uint64_t hash = identity(code, offset), tag = hash & ~INDEX_MASK;
    _Atomic uint64_t *slot = &cache[(hash >> 17) & (((uint64_t)1 << CACHE_BITS) - 1)];
    uint64_t found = atomic_load_explicit(slot, memory_order_acquire);
    if (found != 0 && (found & ~INDEX_MASK) == tag) {
        return (uint32_t)(found & INDEX_MASK);
    }
    uint32_t index = resolve(code, offset); /* FRAMES_FULL is for ever, and cached as well */
    atomic_store_explicit(slot, tag | index, memory_order_release);
    return index;
}

/* --- the walk -------------------------------------------------------------------------- */

static unsigned
walk(PyThreadState *thread, uint32_t *stack, unsigned room, bool *entered_from_c)
{
    struct _PyInterpreterFrame *frame = thread != NULL ? innermost_frame(thread) : NULL;
    unsigned depth = 0;
    for (; frame != NULL; frame = frame->previous) {
        if (_PyFrame_IsIncomplete(frame)) {
            continue;
        }
        if (depth == room) {
            stack[room - 1] = FRAMES_CUT;
            return room;
        }
        stack[depth] = frame_index(frame);
        if (entered_from_c != NULL) {
            entered_from_c[depth] = is_entry(frame);
        }
        depth++;
    }
    if (depth == 0) {
        stack[depth++] = FRAMES_NONE;
    }
    return depth;
}

unsigned
frames_walk(uint32_t *stack, unsigned room, bool *entered_from_c)
{
    return walk(PyGILState_GetThisThreadState(), stack, room, entered_from_c);
}

unsigned
frames_walk_with_gil(uint32_t *stack, unsigned room)
{
    return walk(gil_holder(), stack, room, NULL);
}

bool
frames_text(uint32_t index, struct frame_text *text)
{
    if (index == 0 || index >= FRAMES_MOST || index >= atomic_load(&entries_used)) {
        return false;
    }
    if (index < FRAMES_FIRST) {
        *text = (struct frame_text){.function = MARKERS[index],
                                    .function_length = (uint32_t)strlen(MARKERS[index])};
        return true;
    }
    const struct entry *entry = &entries[index];
    const char *function = texts + entry->text;
    *text = (struct frame_text){function, function + entry->function_length,
                                entry->function_length, entry->file_length, entry->line};
    return true;
}
