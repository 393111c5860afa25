/* SPDX-License-Identifier: MIT
 *
 * The time, as the protocol has it: CLOCK_MONOTONIC in nanoseconds.
 */
#ifndef CLOCK_H
#define CLOCK_H
#include <stdint.h>
#include <time.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
#endif
