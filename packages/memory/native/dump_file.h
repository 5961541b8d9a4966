/* Writes a heap dump that explains itself: first what its addresses mean, then a heap profile
   in jemalloc's format, made of jemalloc's own records, of the sampler's, or of both.

   Works without the GIL and without malloc, so that it neither stops the host nor grows in
   its heap. */
#ifndef ENDOSCOPE_DUMP_FILE_H
#define ENDOSCOPE_DUMP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "samples.h"

/* A profile that jemalloc has written, mapped. `records` is the part between the row of
   totals and MAPPED_LIBRARIES, `mapped` the part from there to the end. */
struct heap_profile {
    const char *records, *mapped;
    size_t records_size, mapped_size;
    uint64_t objects, bytes; /* of the row of totals */
};

struct dump_request {
    int descriptor;
    const char *preface; /* lines that go in front of the symbols */
    size_t preface_size;
    unsigned lg_interval; /* of `heap`, or the sampler's; a finer one of a sample takes its place */
    const struct heap_profile *heap; /* or NULL; no sample may be finer than it */
    const struct snapshot *samples;
};

/* Write the dump; returns an errno, and in `objects` how many samples are in it. */
int dump_write(const struct dump_request *request, uint64_t *objects);

#endif
