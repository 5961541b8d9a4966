/* What the benchmark of heap profiling cannot do in Python. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

/* Begin or cease to count instructions, when running under valgrind. */
void
count_instructions(int on)
{
    if (on) {
        CALLGRIND_START_INSTRUMENTATION;
    }
    else {
        CALLGRIND_STOP_INSTRUMENTATION;
    }
}

struct watch {
    atomic_long longest; /* nanoseconds between two turns; the one who reads it sets it to 0 */
    atomic_int stop;
};

static long
nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

/* Take blocks from malloc and give them back, without ever touching Python, and notice how
   long one turn takes at most. */
void
watch_malloc(struct watch *watch)
{
    enum { HELD = 256 };
    void *held[HELD] = {0};
    long last = nanoseconds();
    for (unsigned turn = 0; !atomic_load(&watch->stop); turn++) {
        void **place = &held[turn % HELD];
        free(*place);
        *place = malloc(16 + turn * 40503u % 8192);
        long now = nanoseconds(), longest = atomic_load(&watch->longest);
        if (now - last > longest) {
            atomic_compare_exchange_strong(&watch->longest, &longest, now - last);
        }
        last = now;
    }
    for (unsigned at = 0; at < HELD; at++) {
        free(held[at]);
    }
}
