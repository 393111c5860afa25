/* SPDX-License-Identifier: MIT
 *
 * The control: the daemon's work in C, as a measure for the daemon.
 *
 *     control SOCKET WIDTHxHEIGHT HZ
 *
 * A timer stands for the fence; a pool of six sealed memfds. Runs until SIGTERM.
 */
#include "fanout.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

int main(int argc, char **argv)
{
    if (argc != 4 || sscanf(argv[2], "%ux%u", &width, &height) != 2)
        return 2;
    uint64_t period = 1e9 / atof(argv[3]);
    pitch = width * 4;
    size = (uint64_t)pitch * height;
    source = 4;
    for (int i = 0; i < POOL; i++) {
        pool_fd[i] = memfd_create("control", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (pool_fd[i] < 0 || ftruncate(pool_fd[i], size))
            die("memfd");
    }
    int door = listen_on(argv[1]);
    int ep = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(ep, door, MOST);
    watch(ep, timer, MOST + 1);
    uint64_t due = (now() / period + 1) * period;
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct itimerspec at_due = { { 0, 0 }, { due / 1000000000, due % 1000000000 } };
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at_due, NULL);
        for (int done = 0; !done;) {
            struct epoll_event got[64];
            int n = epoll_wait(ep, got, 64, -1);
            for (int i = 0; i < n; i++)
                if (got[i].data.u32 == MOST + 1) {
                    int slot = free_slot();
                    if (slot >= 0)
                        publish(slot, due / period, due - period, due);
                    done = 1;
                }
            for (int i = 0; i < n; i++)
                serve(ep, door, got[i].data.u32);
        }
        due = (now() / period + 1) * period;
    }
}
