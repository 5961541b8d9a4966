/* Keeps memory in several ways until it ends; jemalloc dumps it then (`prof_final:true`). */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *kept[3000];

static void
keep(int at, size_t size)
{
    kept[at] = malloc(size);
    memset(kept[at], 1, size);
}

static void
keep_small(int first, int last)
{
    for (int at = first; at < last; at++) {
        keep(at, 48 + (size_t)at % 5 * 100);
    }
}

static void
keep_large(int first, int last)
{
    for (int at = first; at < last; at++) {
        kept[at] = calloc((size_t)at, 40);
    }
}

static void
keep_below(int depth, int first, int last)
{
    if (depth > 0) {
        keep_below(depth - 1, first, last);
    } else {
        keep_small(first, last);
    }
}

static void *
run(void *unused)
{
    keep_below(10, 2000, 2900);
    return unused;
}

int
main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    pthread_join(thread, NULL);
    keep_small(0, 1000);
    keep_large(1000, 2000);
    keep_below(3, 2900, 3000);
    for (int at = 0; at < 500; at++) {
        free(kept[at]);
    }
    return 0;
}
