/* See samples.h. An open-addressed table from blocks to records; the records come from
   slabs of a few sizes, since a stack has anything from one frame to 128. */
#include <math.h>
#include <string.h>

#include "random.h"
#include "samples.h"

enum {
    SMALLEST_LG_SLOTS = 10,
    LG_MOST_SAMPLES = 18,
    SLAB_BYTES = 1 << 16,
    SIZE_CLASSES = 5,
    COARSEST_LG = 60,
};

static const unsigned CLASS_DEPTH[SIZE_CLASSES] = {8, 16, 32, 64, 128};

struct slot {
    const void *block; /* NULL = free */
    struct sample *sample;
};

/* A free record; the next of its size is remembered in its own memory. */
struct unused {
    struct unused *next;
};

uint16_t samples_filter[1 << FILTER_BITS];

static struct slot *slots;
static unsigned lg_slots;
static uint32_t count, lost;
static unsigned floor_lg_interval;
static struct unused *unused[SIZE_CLASSES];

/* --- records ---------------------------------------------------------------------------- */

static unsigned
class_of(unsigned depth)
{
    unsigned class = 0;
    while (CLASS_DEPTH[class] < depth) {
        class++;
    }
    return class;
}

static void
give_back(struct sample *sample)
{
    unsigned class = class_of(sample->depth);
    struct unused *record = (struct unused *)sample;
    record->next = unused[class];
    unused[class] = record;
}

/* Cut a new slab into records; false if there is no memory. */
static bool
add_slab(unsigned class)
{
    char *slab = pages_take(SLAB_BYTES);
    if (slab == NULL) {
        return false;
    }
    size_t step = sample_bytes(CLASS_DEPTH[class]);
    for (size_t at = 0; at + step <= SLAB_BYTES; at += step) {
        struct unused *record = (struct unused *)(slab + at);
        record->next = unused[class];
        unused[class] = record;
    }
    return true;
}

static struct sample *
take_record(unsigned depth)
{
    unsigned class = class_of(depth);
    if (unused[class] == NULL && !add_slab(class)) {
        return NULL;
    }
    struct unused *record = unused[class];
    unused[class] = record->next;
    return (struct sample *)record;
}

/* --- the table -------------------------------------------------------------------------- */

static size_t
home(const void *block)
{
    return (size_t)(((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> (64 - lg_slots));
}

/* The slot of `block`, or the free one where it belongs. */
static size_t
find(const void *block)
{
    size_t mask = ((size_t)1 << lg_slots) - 1, at = home(block);
    while (slots[at].block != NULL && slots[at].block != block) {
        at = (at + 1) & mask;
    }
    return at;
}

/* Empty a slot, moving up those behind it that would not be found any more. */
static void
empty(size_t at)
{
    size_t mask = ((size_t)1 << lg_slots) - 1;
    for (size_t next = (at + 1) & mask; slots[next].block != NULL; next = (next + 1) & mask) {
        size_t distance = (next - home(slots[next].block)) & mask;
        if (distance >= ((next - at) & mask)) {
            slots[at] = slots[next];
            at = next;
        }
    }
    slots[at] = (struct slot){NULL, NULL};
}

static bool
resize(unsigned lg_wanted)
{
    struct slot *old = slots, *new = pages_take(sizeof(*new) << lg_wanted);
    size_t old_slots = (size_t)1 << lg_slots;
    if (new == NULL) {
        return false;
    }
    slots = new;
    lg_slots = lg_wanted;
    for (size_t at = 0; old != NULL && at < old_slots; at++) {
        if (old[at].block != NULL) {
            slots[find(old[at].block)] = old[at];
        }
    }
    pages_give_back(old, sizeof(*old) * old_slots);
    return true;
}

bool
samples_prepare(void)
{
    return slots != NULL || resize(SMALLEST_LG_SLOTS);
}

/* Whether a sample of the interval 2**lg_from would also have been one at 2**lg_to. */
static bool
survives(const struct sample *sample, unsigned lg_to)
{
    double size = (double)sample->size;
    double had = -expm1(-size / (double)((uint64_t)1 << sample->lg_interval));
    double has = -expm1(-size / (double)((uint64_t)1 << lg_to));
    return random_unit() * had < has;
}

/* Go over to twice the smallest interval. Takes some milliseconds, and is rarely needed. */
static void
thin_out(void)
{
    size_t all = (size_t)1 << lg_slots;
    unsigned smallest = 63;
    for (size_t at = 0; at < all; at++) {
        if (slots[at].block != NULL && slots[at].sample->lg_interval < smallest) {
            smallest = slots[at].sample->lg_interval;
        }
    }
    floor_lg_interval = smallest + 1;
    for (size_t at = 0; at < all; at++) {
        /* A removal moves another one here: look at the same slot again. */
        while (slots[at].block != NULL && slots[at].sample->lg_interval < floor_lg_interval) {
            if (survives(slots[at].sample, floor_lg_interval)) {
                slots[at].sample->lg_interval = (uint8_t)floor_lg_interval;
            }
            else {
                samples_remove(slots[at].block);
            }
        }
    }
}

static bool
make_room(void)
{
    size_t most = (size_t)1 << lg_slots >> 1; /* half full at most, so that probing stays short */
    if (count < most) {
        return true;
    }
    if (lg_slots <= LG_MOST_SAMPLES) {
        return resize(lg_slots + 1);
    }
    while (count >= most && floor_lg_interval < COARSEST_LG) {
        thin_out(); /* blocks that are large beside the interval survive the first times */
    }
    return count < most;
}

void
samples_add(const void *block, size_t size, unsigned lg_interval, const uint32_t *frames,
            unsigned depth)
{
    struct sample *sample = make_room() ? take_record(depth) : NULL;
    if (sample == NULL) {
        lost++;
        return;
    }
    sample->size = size;
    sample->lg_interval = (uint8_t)lg_interval;
    sample->depth = (uint8_t)depth;
    if (lg_interval < floor_lg_interval) { /* making room has thinned the others out */
        if (!survives(sample, floor_lg_interval)) {
            give_back(sample);
            return;
        }
        sample->lg_interval = (uint8_t)floor_lg_interval;
    }
    memcpy(sample->frames, frames, depth * sizeof(*frames));
    size_t at = find(block);
    if (slots[at].block != NULL) { /* its free passed us by */
        give_back(slots[at].sample);
    }
    else {
        count++;
        samples_filter[samples_place(block)]++;
    }
    slots[at] = (struct slot){block, sample};
}

void
samples_remove(const void *block)
{
    size_t at = find(block);
    if (slots[at].block == NULL) {
        return;
    }
    give_back(slots[at].sample);
    empty(at);
    count--;
    samples_filter[samples_place(block)]--;
}

void
samples_clear(void)
{
    for (size_t at = 0; slots != NULL && at < (size_t)1 << lg_slots; at++) {
        while (slots[at].block != NULL) {
            samples_remove(slots[at].block);
        }
    }
    lost = 0;
    floor_lg_interval = 0;
}

uint32_t
samples_count(void)
{
    return count;
}

uint32_t
samples_lost(void)
{
    return lost;
}

unsigned
samples_floor(void)
{
    return floor_lg_interval;
}

/* --- copies ----------------------------------------------------------------------------- */

static size_t
bytes_of_all(void)
{
    size_t bytes = 0;
    for (size_t at = 0; slots != NULL && at < (size_t)1 << lg_slots; at++) {
        bytes += slots[at].block != NULL ? sample_bytes(slots[at].sample->depth) : 0;
    }
    return bytes;
}

bool
samples_snapshot(struct snapshot *copy)
{
    size_t bytes = bytes_of_all();
    *copy = (struct snapshot){.capacity = bytes + 1}; /* none at all cannot be mapped */
    copy->start = pages_take(copy->capacity);
    if (copy->start == NULL) {
        return false;
    }
    for (size_t at = 0; slots != NULL && at < (size_t)1 << lg_slots; at++) {
        if (slots[at].block != NULL) {
            struct sample *sample = slots[at].sample;
            memcpy(copy->start + copy->size, sample,
                   sizeof(*sample) + sample->depth * sizeof(uint32_t));
            copy->size += sample_bytes(sample->depth);
        }
    }
    return true;
}
