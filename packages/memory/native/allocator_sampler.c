/* See allocator_sampler.h.

   Every byte that is allocated has the same small chance of being a point of a Poisson
   process; a block with at least one point in it is a sample. A block of s bytes is one with
   probability 1 - exp(-s / interval), whatever was allocated before. So the distance to the
   next point is drawn once, from an exponential distribution, and counted down. */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030c0000
#include "internal/pycore_interp.h"
#endif
#undef Py_BUILD_CORE

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "allocator_sampler.h"
#include "python_frames.h"
#include "random.h"
#include "samples.h"

#define NOT_DUE_EVER INT64_MAX
#define SECOND 1000000000u

enum {
    DOMAINS = 2,
    PYMALLOC_LARGEST = 512, /* SMALL_REQUEST_THRESHOLD of obmalloc.c, all versions */
    MOST_LG_INTERVAL = 40,
    MOST_INSTALLED = 8,
    PROBE = 16, /* bytes */
    LONGEST_SAMPLE = 20000, /* nanoseconds; what takes longer was kept from running */
    JUDGED_NANOSECONDS = 100000000, /* of clock and CPU time between two looks at the budget */
};

static const PyMemAllocatorDomain DOMAIN[DOMAINS] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

uint64_t random_state = 0x9e3779b97f4a7c15u;

/* What was there before us, for each time that we were installed: the hooks' contexts. */
static PyMemAllocatorEx below[DOMAINS][MOST_INSTALLED];
static unsigned installed[DOMAINS];
static int64_t countdown = NOT_DUE_EVER; /* bytes until the next sample */

static struct sampler_options options;
static struct sampler_state state;
static unsigned coarser; /* how many times the interval is doubled at the moment */
static uint64_t judged_at, judged_cpu, spent; /* nanoseconds, for the budget */

static uint64_t
clock_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* --- the interval ------------------------------------------------------------------------- */

static unsigned
lg_interval_now(void)
{
    unsigned lg = options.lg_interval + coarser;
    lg = lg < samples_floor() ? samples_floor() : lg;
    return lg < MOST_LG_INTERVAL ? lg : MOST_LG_INTERVAL;
}

static void
draw_distance(void)
{
    countdown = state.sampling
                    ? (int64_t)random_distance((double)((uint64_t)1 << lg_interval_now()))
                    : NOT_DUE_EVER;
}

/* Double or halve the interval until sampling stays within its share of the CPU time, looking
   at it after some wall time (whose clock is cheap) and as much CPU time. Halved only where
   what follows is well within the share, so that it does not go to and fro. */
static void
keep_to_budget(uint64_t now)
{
    if (options.budget <= 0 || now - judged_at < JUDGED_NANOSECONDS) {
        return;
    }
    judged_at = now;
    uint64_t cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    if (cpu < judged_cpu) { /* in a forked child the clock begins anew */
        judged_cpu = cpu;
        spent = 0;
    }
    if (cpu - judged_cpu < JUDGED_NANOSECONDS) {
        return;
    }
    double share = (double)spent / (double)(cpu - judged_cpu);
    if (share < 0.4 * options.budget && coarser > 0) {
        coarser--;
    }
    for (; share > options.budget && lg_interval_now() < MOST_LG_INTERVAL; share /= 2) {
        coarser++;
    }
    judged_cpu = cpu;
    spent = 0;
}

/* --- a sample ----------------------------------------------------------------------------- */

/* Interpreters with a GIL of their own call us at the same time as everybody else: what is
   theirs is not looked at. */
static bool
is_ours(void)
{
    if (!frames_gil_is_held()) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030c0000
    return PyInterpreterState_Get()->ceval.gil == PyInterpreterState_Main()->ceval.gil;
#else
    return true;
#endif
}

/* How many bytes jemalloc has given to this thread so far, also by realloc in place. */
static uint64_t
given_by_others(void)
{
    uint64_t *given = NULL;
    size_t size = sizeof(given);
    if (options.others == NULL ||
        options.others("thread.allocatedp", &given, &size, NULL, 0) != 0) {
        return 0;
    }
    return *given;
}

static void
record(void *block, size_t size)
{
    uint32_t frames[FRAMES_LONGEST_STACK];
    unsigned depth = frames_walk_with_gil(frames, FRAMES_LONGEST_STACK);
    samples_add(block, size, lg_interval_now(), frames, depth);
}

/* A point lies in this block, which is NULL if there was no memory for it; `given` is what
   jemalloc had given before. If it has served the call it samples the block itself. Its size
   does not tell: a large one that shrinks stays where it is, and the hooks for debugging add to
   the size of a small one. (To ask jemalloc whose a block is, with `arenas.lookup`, crashes up to
   5.3.0 for some that are not its own.) */
static void *
sampled(void *block, size_t size, uint64_t given)
{
    uint64_t began = clock_of(CLOCK_MONOTONIC);
    bool others = options.others != NULL &&
                  (size > PYMALLOC_LARGEST || given_by_others() - given >= size);
    if (block != NULL && !others && state.sampling && is_ours()) {
        record(block, size);
        state.taken++;
        uint64_t now = clock_of(CLOCK_MONOTONIC);
        state.nanoseconds += now - began;
        spent += now - began < LONGEST_SAMPLE ? now - began : LONGEST_SAMPLE;
        keep_to_budget(now);
    }
    draw_distance(); /* from the end of this block: the process has no memory */
    return block;
}

static void
forget(void *block)
{
    if (is_ours()) {
        samples_remove(block);
    }
}

/* --- the hooks, when a sample is due or may be freed ------------------------------------------ */

static Py_NO_INLINE void *
sampled_malloc(PyMemAllocatorEx *allocator, size_t size)
{
    uint64_t given = given_by_others();
    return sampled(allocator->malloc(allocator->ctx, size), size, given);
}

static Py_NO_INLINE void *
sampled_calloc(PyMemAllocatorEx *allocator, size_t number, size_t each)
{
    uint64_t given = given_by_others();
    return sampled(allocator->calloc(allocator->ctx, number, each), number * each, given);
}

static Py_NO_INLINE void *
sampled_realloc(PyMemAllocatorEx *allocator, void *block, size_t size)
{
    uint64_t given = given_by_others();
    void *moved = allocator->realloc(allocator->ctx, block, size);
    if (moved != NULL && samples_may_hold(block)) {
        forget(block);
    }
    return sampled(moved, size, given);
}

static Py_NO_INLINE void *
known_realloc(PyMemAllocatorEx *allocator, void *block, size_t size)
{
    void *moved = allocator->realloc(allocator->ctx, block, size);
    if (moved != NULL) {
        forget(block);
    }
    return moved;
}

static Py_NO_INLINE void
known_free(PyMemAllocatorEx *allocator, void *block)
{
    forget(block);
    allocator->free(allocator->ctx, block);
}

/* --- the hooks, on the path of every allocation ------------------------------------------------- */

/* What is rare is left to functions of its own, which are jumped to: so nothing is saved on
   the stack on the way to the allocator below. */

/* Count a block of `size` bytes; whether a point lies in it. Blocks that others sample are counted
   too, and their points passed over: what is left of the process is as random as before. */
static inline bool
count_down(size_t size)
{
    countdown -= (int64_t)size;
    return __builtin_expect(countdown < 0, 0);
}

static void *
hook_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *allocator = context;
    if (count_down(size)) {
        return sampled_malloc(allocator, size);
    }
    return allocator->malloc(allocator->ctx, size);
}

static void *
hook_calloc(void *context, size_t number, size_t each)
{
    PyMemAllocatorEx *allocator = context; /* the product fits: PyMem_Calloc has looked */
    if (count_down(number * each)) {
        return sampled_calloc(allocator, number, each);
    }
    return allocator->calloc(allocator->ctx, number, each);
}

/* To sampling it is a free and a new block, wherever it lies; nothing if it fails. */
static void *
hook_realloc(void *context, void *block, size_t size)
{
    PyMemAllocatorEx *allocator = context;
    if (count_down(size)) {
        return sampled_realloc(allocator, block, size);
    }
    if (samples_may_hold(block)) {
        return known_realloc(allocator, block, size);
    }
    return allocator->realloc(allocator->ctx, block, size);
}

static void
hook_free(void *context, void *block)
{
    PyMemAllocatorEx *allocator = context;
    if (samples_may_hold(block)) {
        known_free(allocator, block);
        return;
    }
    allocator->free(allocator->ctx, block);
}

/* --- installing ----------------------------------------------------------------------------- */

/* Whether all interpreters share one GIL, so that nobody allocates while the hooks go in. */
static bool
one_gil(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyInterpreterState *one = PyInterpreterState_Head();
    for (; one != NULL; one = PyInterpreterState_Next(one)) {
        if (one->ceval.gil != PyInterpreterState_Main()->ceval.gil) {
            return false;
        }
    }
#endif
    return true;
}

/* By how many bytes an allocation of PROBE bytes in this domain is counted down: by none if
   somebody has removed our hooks, by more if they stand in the chain twice. */
static int64_t
counted(int domain)
{
    countdown = NOT_DUE_EVER;
    if (domain == 0) {
        PyMem_Free(PyMem_Malloc(PROBE));
    }
    else {
        PyObject_Free(PyObject_Malloc(PROBE));
    }
    int64_t bytes = NOT_DUE_EVER - countdown;
    draw_distance();
    return bytes;
}

/* A place that keeps what is there now, for ever; NULL if there is none. The same as once
   before has its place already. */
static PyMemAllocatorEx *
keep_current(int domain)
{
    PyMemAllocatorEx current;
    PyMem_GetAllocator(DOMAIN[domain], &current);
    for (unsigned at = 0; at < installed[domain]; at++) {
        if (memcmp(&below[domain][at], &current, sizeof(current)) == 0) {
            return &below[domain][at];
        }
    }
    if (installed[domain] == MOST_INSTALLED) {
        return NULL;
    }
    below[domain][installed[domain]] = current;
    return &below[domain][installed[domain]++];
}

/* Put our hooks on top of what is there. */
static bool
install(int domain)
{
    PyMemAllocatorEx *under = keep_current(domain);
    if (under == NULL) {
        return false;
    }
    PyMemAllocatorEx hooks = {under, hook_malloc, hook_calloc, hook_realloc, hook_free};
    PyMem_SetAllocator(DOMAIN[domain], &hooks);
    if (counted(domain) == PROBE) {
        return true;
    }
    PyMem_SetAllocator(DOMAIN[domain], under);
    return false;
}

/* A tool that was there before us may have put back what it found when it came, as tracemalloc
   does. Then frees have passed us by, and what samples there are cannot be trusted. */
static bool
attach(void)
{
    for (int domain = 0; domain < DOMAINS; domain++) {
        if (counted(domain) != PROBE) {
            samples_clear();
            if (!install(domain)) {
                return false;
            }
        }
    }
    return true;
}

static void
seed(void)
{
    random_state ^= clock_of(CLOCK_MONOTONIC) ^ ((uint64_t)getpid() << 32);
    random_state += random_state == 0;
}

/* A forked child samples on. With its parent's random numbers, siblings that do the same would
   sample the same, and the error of their sum be larger than is said. */
static void
part_from_parent(void)
{
    if (state.sampling) {
        seed();
        draw_distance();
    }
}

static bool
watch_forks(void)
{
    static bool watched;
    watched = watched || pthread_atfork(NULL, NULL, part_from_parent) == 0;
    return watched;
}

enum sampler_refusal
sampler_start(const struct sampler_options *wanted)
{
    if (!samples_prepare() || !watch_forks()) {
        return SAMPLER_NO_MEMORY;
    }
    if (!one_gil()) {
        return SAMPLER_OWN_GIL;
    }
    if (!attach()) {
        return SAMPLER_SHUT_OUT;
    }
    options = *wanted;
    seed();
    judged_at = clock_of(CLOCK_MONOTONIC);
    judged_cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    spent = 0;
    coarser = 0;
    state.sampling = true;
    draw_distance();
    return SAMPLER_STARTED;
}

void
sampler_stop(void)
{
    state.sampling = false;
    draw_distance();
}

void
sampler_discard(void)
{
    samples_clear();
    draw_distance(); /* the interval is the one that was asked for again */
}

struct sampler_state
sampler_state(void)
{
    state.lg_interval = lg_interval_now();
    state.attached = counted(0) == PROBE && counted(1) == PROBE;
    return state;
}
