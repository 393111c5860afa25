/* SPDX-License-Identifier: MIT
 *
 * What both controls do: SEQPACKET fan-out with credits, buffers once per client, releases.
 */
#ifndef FANOUT_H
#define FANOUT_H
#define _GNU_SOURCE
#include "clock.h"
#include "wire.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { POOL = 6, MOST = 1024, MESSAGE = 1024 };

struct client { int fd; uint32_t credits; uint8_t known[POOL]; uint8_t held[POOL]; };

static struct client clients[MOST];
static int count, pool_fd[POOL], holders[POOL], newest = -1;
static uint64_t size, sequence;
static uint32_t width, height, pitch, source;

static void die(const char *what) { perror(what); exit(1); }

static struct header head(uint16_t code, uint32_t bytes, uint32_t stream)
{
    return (struct header){ code, code == BUFFER ? 2 : 0, bytes, 0, stream };
}

static void greet(int fd)
{
    struct welcome w = { head(WELCOME, sizeof w, 0), 1, 1, 0, 1, 4, 250, "control", "C" };
    struct stream s = { .h = head(STREAM, sizeof s, 1), .state = 1, .source = source, .width = width,
                        .height = height, .refresh = 60000, .fourcc = 0x34325258 };
    struct done d = { head(DONE, sizeof d, 1) };
    strcpy(s.name, "Pattern-1");
    send(fd, &w, sizeof w, 0); send(fd, &s, sizeof s, 0); send(fd, &d, sizeof d, 0);
}

static int send_buffer(int fd, uint32_t slot)
{
    struct buffer b = { head(BUFFER, sizeof b, 1), 0, size, slot, 1, 0x34325258, width, height, 1,
                        { 0 }, { pitch } };
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

/* A buffer that nobody has, but for the newest; -1 when there is none. */
static int free_slot(void)
{
    for (int slot = 0; slot < POOL; slot++)
        if (!holders[slot] && slot != newest)
            return slot;
    return -1;
}

static void publish(int slot, uint64_t vblank, uint64_t commit_ns, uint64_t done_ns)
{
    newest = slot;
    struct frame f = { head(FRAME, sizeof f, 1), ++sequence, vblank, 0, commit_ns, done_ns,
                       done_ns, slot, 1, source, 0 };
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

static int watch(int ep, int fd, uint32_t who)
{
    struct epoll_event e = { EPOLLIN, { .u32 = who } };
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int listen_on(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 64))
        die(path);
    return door;
}

/* Messages of clients, and new clients; MOST stands for the door. */
static void serve(int ep, int door, uint32_t who)
{
    if (who < MOST && clients[who].fd >= 0)
        take(who);
    int fd;
    while (who == MOST && count < MOST && (fd = accept4(door, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        clients[count] = (struct client){ .fd = fd };
        watch(ep, fd, count++);
    }
}
#endif
