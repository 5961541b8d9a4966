/* Random numbers for sampling: fast, not secret. Called with the GIL held. */
#ifndef ENDOSCOPE_RANDOM_H
#define ENDOSCOPE_RANDOM_H

#include <math.h>
#include <stdint.h>

extern uint64_t random_state; /* not zero */

/* Uniform in (0, 1]: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift
   generators, scrambled", 2016). */
static inline double
random_unit(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    uint64_t bits = random_state * 0x2545f4914f6cdd1du;
    return (double)((bits >> 11) + 1) * 0x1p-53;
}

/* Exponentially distributed: the distance between two points of a Poisson process. */
static inline double
random_distance(double mean)
{
    return -log(random_unit()) * mean;
}

#endif
