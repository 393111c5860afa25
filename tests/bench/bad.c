/* SPDX-License-Identifier: MIT
 *
 * Bad clients, many in one process.
 *
 *     bad SOCKET CLIENTS hold|deaf|again
 *
 * hold: read everything and never release. deaf: subscribe and never read again, as a client
 * does that was stopped. again: hold, and come back at once when cut off. Prints "begun" when all are subscribed; ends with its standard input.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 1024, MESSAGE = 1024 };

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

static int open_one(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        return -1;
    struct hello hello = { { HELLO, 0, sizeof hello, 1, 0 }, 0x44504143, 1, 1, 0, "bad" };
    send(fd, &hello, sizeof hello, 0);
    char data[MESSAGE];
    do
        if (receive(fd, data) <= 0)
            return -1;
    while (((struct header *)data)->code != DONE);
    struct subscribe s = { { SUBSCRIBE, 0, sizeof s, 2, 1 }, 1 | 4, 0, 0, 4, 0, 0 };
    send(fd, &s, sizeof s, 0);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int count = atoi(argv[2]), deaf = !strcmp(argv[3], "deaf"), again = !strcmp(argv[3], "again");
    struct pollfd fds[MOST + 1] = { { .fd = 0, .events = POLLIN } };
    for (int i = 1; i <= count; i++)
        fds[i] = (struct pollfd){ .fd = open_one(argv[1]), .events = deaf ? 0 : POLLIN };
    puts("begun");
    fflush(stdout);
    char data[MESSAGE];
    while (poll(fds, count + 1, -1) > 0) {
        if (fds[0].revents)
            return 0;
        for (int i = 1; i <= count; i++) {
            if (!fds[i].revents)
                continue;
            if (!deaf && receive(fds[i].fd, data) > 0)
                continue;
            close(fds[i].fd); /* cut off */
            fds[i].fd = again ? open_one(argv[1]) : -1;
        }
    }
    return 1;
}
