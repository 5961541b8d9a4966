/* See jemalloc_hook.h. The hooks run inside malloc, on any thread, with or without the GIL. */
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "jemalloc_hook.h"
#include "python_frames.h"

typedef void backtrace_hook(void **stack, unsigned *length, unsigned room);

enum {
    PATIENCE_STEPS = 1000,
    PATIENCE_STEP_NANOSECONDS = 100000,
};

struct range {
    uintptr_t start, end;
};

static backtrace_hook *unwind; /* what was there before us, which is jemalloc's own */
static struct range interpreter_loop, jemalloc, ourselves; /* code addresses */

static atomic_bool closed;
static atomic_uint inside; /* threads that are looking at Python's frames */
static atomic_ullong taken, nanoseconds;

/* --- Python's frames ---------------------------------------------------------------------- */

static unsigned
python_frames(uint32_t *frames, unsigned room, bool *entered_from_c)
{
    unsigned depth = 1;
    atomic_fetch_add(&inside, 1);
    if (atomic_load(&closed)) {
        frames[0] = FRAMES_NONE;
    }
    else {
        depth = frames_walk(frames, room, entered_from_c);
    }
    atomic_fetch_sub(&inside, 1);
    return depth;
}

static unsigned
at_most(unsigned room)
{
    return room < FRAMES_LONGEST_STACK ? room : FRAMES_LONGEST_STACK;
}

static uint64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void
account(uint64_t began)
{
    atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&nanoseconds, now() - began, memory_order_relaxed);
}

static void
python_hook(void **stack, unsigned *length, unsigned room)
{
    uint64_t began = now();
    uint32_t frames[FRAMES_LONGEST_STACK];
    *length = python_frames(frames, at_most(room), NULL);
    for (unsigned at = 0; at < *length; at++) {
        stack[at] = (void *)frames_address(frames[at]);
    }
    account(began);
}

/* --- both --------------------------------------------------------------------------------- */

struct stack {
    void **addresses;
    unsigned length, room;
};

/* Add an address; in the last place only the mark that there were more. */
static void
push(struct stack *stack, void *address)
{
    if (stack->length < stack->room) {
        stack->addresses[stack->length++] = address;
    }
    else {
        stack->addresses[stack->room - 1] = (void *)frames_address(FRAMES_CUT);
    }
}

static bool
lies_in(const struct range *range, const void *return_address)
{
    uintptr_t call = (uintptr_t)return_address - 1;
    return call >= range->start && call < range->end;
}

/* Put in the place of each native frame of the interpreter's loop the Python frames that it
   runs: those up to the one that C has called. What is left over goes to the end, so that
   nothing is lost where a compiler has split the loop into several functions. */
static void
mixed_hook(void **addresses, unsigned *length, unsigned room)
{
    uint64_t began = now();
    void *native[FRAMES_LONGEST_STACK];
    uint32_t frames[FRAMES_LONGEST_STACK];
    bool entered_from_c[FRAMES_LONGEST_STACK];
    unsigned natives = 0, native_at = 0, at = 0;
    struct stack stack = {addresses, 0, at_most(room)};

    unwind(native, &natives, FRAMES_LONGEST_STACK);
    unsigned depth = python_frames(frames, FRAMES_LONGEST_STACK, entered_from_c);
    if (frames[0] == FRAMES_NONE && natives > 0) {
        depth = 0;
    }
    while (native_at < natives && (lies_in(&ourselves, native[native_at]) ||
                                   lies_in(&jemalloc, native[native_at]))) {
        native_at++;
    }
    for (; native_at < natives; native_at++) {
        if (!lies_in(&interpreter_loop, native[native_at])) {
            if (!lies_in(&ourselves, native[native_at])) { /* the sampler's hooks */
                push(&stack, native[native_at]);
            }
            continue;
        }
        bool entry = false;
        while (at < depth && !entry) {
            entry = frames[at] >= FRAMES_FIRST && entered_from_c[at];
            push(&stack, (void *)frames_address(frames[at++]));
        }
    }
    while (at < depth) {
        push(&stack, (void *)frames_address(frames[at++]));
    }
    *length = stack.length;
    account(began);
}

/* --- installing --------------------------------------------------------------------------- */

static int
widen(struct dl_phdr_info *object, size_t size, void *wanted)
{
    (void)size;
    struct range *range = wanted, found = {UINTPTR_MAX, 0};
    for (int at = 0; at < object->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[at];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            uintptr_t start = object->dlpi_addr + segment->p_vaddr;
            uintptr_t end = start + segment->p_memsz;
            found.start = start < found.start ? start : found.start;
            found.end = end > found.end ? end : found.end;
        }
    }
    if (range->start < found.start || range->start >= found.end) {
        return 0;
    }
    *range = found;
    return 1;
}

/* The code of the object that a function is in; empty for the program itself, whose code is
   not all of one kind. */
static struct range
object_around(uintptr_t function)
{
    Dl_info object, python;
    struct range range = {function, 0};
    if (dladdr((void *)function, &object) == 0 ||
        (dladdr((void *)(uintptr_t)Py_GetVersion, &python) != 0 &&
         python.dli_fbase == object.dli_fbase) ||
        dl_iterate_phdr(widen, &range) == 0) {
        return (struct range){0, 0};
    }
    return range;
}

static struct range
function_around(uintptr_t function)
{
    Dl_info object;
    ElfW(Sym) *symbol = NULL;
    if (dladdr1((void *)function, &object, (void **)&symbol, RTLD_DL_SYMENT) == 0 ||
        symbol == NULL) {
        return (struct range){0, 0};
    }
    return (struct range){function, function + symbol->st_size};
}

/* A thread of the parent's that was inside does not exist in the child. */
static void
forget_other_threads(void)
{
    atomic_store(&inside, 0);
}

static int
prepare(mallctl_function *mallctl, const char *name)
{
    size_t size = sizeof(unwind);
    int error = mallctl(name, &unwind, &size, NULL, 0);
    if (error != 0) {
        unwind = NULL;
        return error;
    }
    void *loop = dlsym(RTLD_DEFAULT, "_PyEval_EvalFrameDefault");
    interpreter_loop = function_around((uintptr_t)loop);
    jemalloc = object_around((uintptr_t)mallctl);
    ourselves = object_around((uintptr_t)mixed_hook);
    return pthread_atfork(NULL, NULL, forget_other_threads);
}

int
hook_install(mallctl_function *mallctl, enum hook_stacks stacks)
{
    static const char NAME[] = "experimental.hooks.prof_backtrace";
    int error = unwind == NULL ? prepare(mallctl, NAME) : 0;
    if (error != 0) {
        return error;
    }
    backtrace_hook *hook = stacks == HOOK_PYTHON  ? python_hook
                           : stacks == HOOK_MIXED ? mixed_hook
                                                  : unwind;
    atomic_store(&closed, false); /* an embedding program may start Python once more */
    return mallctl(NAME, NULL, NULL, &hook, sizeof(hook));
}

uint64_t
hook_taken(void)
{
    return atomic_load(&taken);
}

uint64_t
hook_nanoseconds(void)
{
    return atomic_load(&nanoseconds);
}

void
hook_close(void)
{
    const struct timespec step = {0, PATIENCE_STEP_NANOSECONDS};
    atomic_store(&closed, true);
    for (int steps = 0; atomic_load(&inside) != 0 && steps < PATIENCE_STEPS; steps++) {
        nanosleep(&step, NULL);
    }
}
