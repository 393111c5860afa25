/* SPDX-License-Identifier: MIT
 *
 * The client's side of the protocol, as far as loads need it. Include it first.
 */
#ifndef CLIENT_H
#define CLIENT_H
#define _GNU_SOURCE
#include "wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 1024, MESSAGE = 1024 };

/* One message; descriptors that come along are closed. */
static ssize_t receive(int fd, char *data)
{
    char control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec io = { data, MESSAGE };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
                        .msg_controllen = sizeof control };
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
            close(((int *)CMSG_DATA(c))[i]);
    return n;
}

/* A connection that has subscribed to the first stream; -1 if the server is not there. */
static int subscribe(const char *path, uint32_t credits)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        return -1;
    struct hello hello = { { HELLO, 0, sizeof hello, 1, 0 }, 0x44504143, 1, 1, 0, "bench" };
    send(fd, &hello, sizeof hello, 0);
    char data[MESSAGE];
    do
        if (receive(fd, data) <= 0)
            return -1;
    while (((struct header *)data)->code != DONE);
    struct subscribe s = { { SUBSCRIBE, 0, sizeof s, 2, 1 }, 1 | 4, 0, 0, credits, 0, 0 };
    send(fd, &s, sizeof s, 0);
    return fd;
}
#endif
