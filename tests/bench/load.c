/* SPDX-License-Identifier: MIT
 *
 * The load: many clients of one server in one process, the same for the daemon and the control.
 *
 *     load SOCKET CLIENTS SECONDS
 *
 * Releases every frame at once. Prints a line of JSON: frames of the client that got the fewest
 * and of the one that got the most, the time from the fence to the client in microseconds, how
 * many captures clients went without between two frames, how many the source says it missed, and
 * how many vblanks went by without a capture: a server that stands still notices none of its own.
 */
#include "client.h"
#include "clock.h"
#include <sys/epoll.h>

enum { CREDITS = 2, SAMPLES = 1 << 20 };

static int fds[MOST];
static long frames[MOST], gaps;
static uint64_t last[MOST], missed_first, missed_last;
static struct { uint64_t vblank, sequence; } first, newest;
static float *samples;
static long taken;

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int clients = atoi(argv[2]), ep = epoll_create1(0);
    samples = malloc(SAMPLES * sizeof *samples);
    for (int i = 0; i < clients; i++) {
        if ((fds[i] = subscribe(argv[1], CREDITS)) < 0) {
            perror(argv[1]);
            return 1;
        }
        struct epoll_event e = { EPOLLIN, { .u32 = i } };
        epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
    }
    /* Counted from the first frame on: the server makes its pool before that. */
    uint64_t end = 0, patience = now() + 30 * 1000000000ull;
    while (now() < (end ? end : patience)) {
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, 100);
        for (int i = 0; i < n; i++) {
            int who = got[i].data.u32;
            char data[MESSAGE];
            if (receive(fds[who], data) <= 0)
                return 1;
            struct frame *f = (struct frame *)data;
            if (f->h.code != FRAME)
                continue;
            if (!end) {
                puts("begun");
                fflush(stdout);
                end = now() + (uint64_t)(atof(argv[3]) * 1e9);
            }
            if (taken < SAMPLES)
                samples[taken++] = (now() - f->done_ns) / 1e3f;
            if (!frames[who]++ && !missed_first)
                missed_first = f->missed + 1;
            else if (last[who])
                gaps += f->sequence - last[who] - 1;
            last[who] = f->sequence;
            newest.vblank = f->vblank, newest.sequence = f->sequence;
            if (!first.sequence)
                first = newest;
            missed_last = f->missed + 1;
            struct release r = { { RELEASE, 0, sizeof r, 3, 1 }, f->sequence, f->buffer,
                                 f->generation };
            send(fds[who], &r, sizeof r, 0);
        }
    }
    long least = frames[0], most = 0;
    for (int i = 0; i < clients; i++) {
        least = frames[i] < least ? frames[i] : least;
        most = frames[i] > most ? frames[i] : most;
    }
    qsort(samples, taken, sizeof *samples, compare);
    printf("{\"least\": %ld, \"most\": %ld, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"gaps\": %ld, \"missed\": %ld, \"passed\": %ld}\n", least, most,
           taken ? samples[taken / 2] : 0, taken ? samples[taken * 99 / 100] : 0, gaps,
           (long)(missed_last - missed_first),
           (long)(newest.vblank - first.vblank) - (long)(newest.sequence - first.sequence));
    return 0;
}
