/* SPDX-License-Identifier: MIT
 *
 * The control: the daemon's work in C, as a measure for the daemon.
 *
 *     control SOCKET WIDTHxHEIGHT HZ
 *
 * A timer stands for the fence; a pool of six memfds, and the daemon's test picture in them: the
 * number in squares, and a box that moves over bars. Runs until SIGTERM.
 */
#include "fanout.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

enum { BIT = 8, BITS = 32, BOX = 16, WHITE = 0xFFFFFF };

static uint32_t *pixels[POOL], *bars, box_x[POOL];

static void fill(int slot, uint32_t x, uint32_t y, uint32_t rows, const uint32_t *row, uint32_t n)
{
    for (uint32_t i = y; i < y + rows; i++)
        memcpy(pixels[slot] + i * width + x, row, n * 4);
}

static void draw(int slot, uint32_t number)
{
    uint32_t squares[BIT * BITS], box[BOX], now = number * 8ull % (width - BOX);
    for (int i = 0; i < BIT * BITS; i++)
        squares[i] = number >> (BITS - 1 - i / BIT) & 1 ? WHITE : 0;
    for (int i = 0; i < BOX; i++)
        box[i] = WHITE;
    fill(slot, 0, 0, BIT, squares, BIT * BITS);
    fill(slot, box_x[slot], height / 2, BOX, bars + box_x[slot], BOX);
    fill(slot, box_x[slot] = now, height / 2, BOX, box, BOX);
}

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
        pixels[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, pool_fd[i], 0);
        if (pixels[i] == MAP_FAILED)
            die("mmap");
        for (uint32_t x = 0; x < width * height; x++)
            pixels[i][x] = 0x404040 * (1 + x % width * 3 / width);
    }
    bars = malloc(width * 4);
    memcpy(bars, pixels[0], width * 4);
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
        int next = free_slot();
        if (next >= 0)
            draw(next, sequence + 1);
        for (int done = 0; !done;) {
            struct epoll_event got[64];
            int n = epoll_wait(ep, got, 64, -1);
            for (int i = 0; i < n; i++)
                if (got[i].data.u32 == MOST + 1) {
                    if (next >= 0)
                        publish(next, due / period, due - period, due);
                    done = 1;
                }
            for (int i = 0; i < n; i++)
                serve(ep, door, got[i].data.u32);
        }
        due = (now() / period + 1) * period;
    }
}
