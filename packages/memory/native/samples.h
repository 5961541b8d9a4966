/* The sampled blocks that are live, each with its size, its stack and the interval it was
   sampled at.

   Everything here is called with the GIL held, which is its only lock. The number of
   samples is bounded: where there are too many they are thinned out, as if they had been
   taken at twice the interval from the beginning. */
#ifndef ENDOSCOPE_SAMPLES_H
#define ENDOSCOPE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pages.h"

struct sample {
    uint64_t size; /* bytes that were asked for */
    uint8_t lg_interval;
    uint8_t depth; /* number of frames, at most 128 */
    uint32_t frames[]; /* innermost first */
};

enum {
    FILTER_PAGE_BITS = 12,
    FILTER_BITS = 32 - FILTER_PAGE_BITS,
};

/* For each page of memory (those four gigabytes apart share a place) how many samples lie in it.
   Neighbouring blocks share a place, so that whoever asks finds it in the processor's cache.
   Two megabytes, of which only what is written to becomes resident. */
extern uint16_t samples_filter[1 << FILTER_BITS];

static inline uint32_t
samples_place(const void *block)
{
    return (uint32_t)(uintptr_t)block >> FILTER_PAGE_BITS;
}

/* Whether `block` may be a sample: what every `free` asks. */
static inline bool
samples_may_hold(const void *block)
{
    return __builtin_expect(samples_filter[samples_place(block)] != 0, 0);
}

/* Take the memory of empty tables; false if there is none. */
bool samples_prepare(void);

/* Add a sample, replacing a forgotten one at the same place. If there is no memory for it
   it counts as lost. */
void samples_add(const void *block, size_t size, unsigned lg_interval, const uint32_t *frames,
                 unsigned depth);

/* Remove the sample at `block`, if there is one. */
void samples_remove(const void *block);

/* Remove all. */
void samples_clear(void);

uint32_t samples_count(void);

/* How many found no memory since the tables were last clear. */
uint32_t samples_lost(void);

/* The interval to which the samples were thinned out, as a logarithm; 0 if they never were. */
unsigned samples_floor(void);

/* A copy of all samples, one after the other as samples_next() walks them. */
struct snapshot {
    char *start;
    size_t size;     /* of what is filled */
    size_t capacity; /* of the mapping */
};

/* Copy all samples to pages of their own; false if there is no memory. Give them back with
   snapshot_release(). */
bool samples_snapshot(struct snapshot *copy);

static inline size_t
sample_bytes(unsigned depth)
{
    return (sizeof(struct sample) + depth * sizeof(uint32_t) + 7) & ~(size_t)7;
}

static inline void
snapshot_release(struct snapshot *copy)
{
    pages_give_back(copy->start, copy->capacity);
}

#endif
