/* SPDX-License-Identifier: MIT
 *
 * The control: the daemon's work in C, as a measure for the daemon.
 *
 *     control SOCKET WIDTHxHEIGHT HZ
 *
 * A timer stands for the fence; SEQPACKET fan-out with credits, buffers once per client,
 * releases; a pool of six sealed memfds. Runs until SIGTERM.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { POOL = 6, MOST = 1024, MESSAGE = 1024 };

struct client { int fd; uint32_t credits; uint8_t known[POOL]; uint8_t held[POOL]; };

static struct client clients[MOST];
static int count, pool_fd[POOL], holders[POOL], newest = -1;
static uint64_t size, sequence, period;
static uint32_t width, height;

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static struct header head(uint16_t code, uint32_t bytes, uint32_t stream)
{
    return (struct header){ code, code == BUFFER ? 2 : 0, bytes, 0, stream };
}

static void greet(int fd)
{
    struct welcome w = { head(WELCOME, sizeof w, 0), 1, 1, 0, 1, 4, 250, "control", "C" };
    struct stream s = { .h = head(STREAM, sizeof s, 1), .state = 1, .source = 4, .width = width,
                        .height = height, .refresh = 60000, .fourcc = 0x34325258 };
    struct done d = { head(DONE, sizeof d, 1) };
    strcpy(s.name, "Pattern-1");
    send(fd, &w, sizeof w, 0); send(fd, &s, sizeof s, 0); send(fd, &d, sizeof d, 0);
}

static int send_buffer(int fd, uint32_t slot)
{
    struct buffer b = { head(BUFFER, sizeof b, 1), 0, size, slot, 1, 0x34325258, width, height, 1,
                        { 0 }, { width * 4 } };
    struct iovec io = { &b, sizeof b };
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pool_fd[slot], sizeof(int));
    return sendmsg(fd, &m, MSG_NOSIGNAL) < 0;
}

static void hang_up(int i)
{
    for (int slot = 0; slot < POOL; slot++)
        holders[slot] -= clients[i].held[slot];
    close(clients[i].fd);
    clients[i].fd = -1;
}

static void take(int i)
{
    struct client *c = &clients[i];
    char data[MESSAGE];
    for (;;) {
        ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < (ssize_t)sizeof(struct header)) {
            hang_up(i);
            return;
        }
        struct header *h = (struct header *)data;
        if (h->code == HELLO)
            greet(c->fd);
        else if (h->code == SUBSCRIBE)
            c->credits = ((struct subscribe *)data)->credits;
        else if (h->code == RELEASE) {
            uint32_t slot = ((struct release *)data)->buffer;
            if (slot < POOL && c->held[slot]) {
                c->held[slot] = 0;
                holders[slot]--;
                c->credits++;
            }
        }
    }
}

static void tick(uint64_t due)
{
    int slot = 0;
    while (slot < POOL && (holders[slot] || slot == newest))
        slot++;
    if (slot == POOL)
        return;
    newest = slot;
    struct frame f = { head(FRAME, sizeof f, 1), ++sequence, due / period, 0, due - period, due,
                       due, slot, 1, 4, 0 };
    for (int i = 0; i < count; i++) {
        struct client *c = &clients[i];
        if (c->fd < 0 || !c->credits)
            continue;
        if (!c->known[slot] && send_buffer(c->fd, slot))
            continue;
        c->known[slot] = 1;
        if (send(c->fd, &f, sizeof f, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            continue;
        c->credits--;
        c->held[slot] = 1;
        holders[slot]++;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || sscanf(argv[2], "%ux%u", &width, &height) != 2)
        return 2;
    period = 1e9 / atof(argv[3]);
    size = (uint64_t)width * height * 4;
    for (int i = 0; i < POOL; i++) {
        pool_fd[i] = memfd_create("control", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (pool_fd[i] < 0 || ftruncate(pool_fd[i], size))
            die("memfd");
    }
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s", argv[1]);
    int door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 64))
        die(argv[1]);
    int ep = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = { EPOLLIN, { .u32 = MOST } };
    epoll_ctl(ep, EPOLL_CTL_ADD, door, &e);
    e.data.u32 = MOST + 1;
    epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e);
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
                    tick(due);
                    done = 1;
                }
            for (int i = 0; i < n; i++) {
                uint32_t who = got[i].data.u32;
                if (who < MOST && clients[who].fd >= 0)
                    take(who);
                int fd;
                while (who == MOST && count < MOST &&
                       (fd = accept4(door, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                    clients[count] = (struct client){ .fd = fd };
                    struct epoll_event c = { EPOLLIN, { .u32 = count++ } };
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &c);
                }
            }
        }
        due = (now() / period + 1) * period;
    }
}
