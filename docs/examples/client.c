/* SPDX-License-Identifier: MIT
 *
 * A client of captured in one file: takes one picture and writes it as raw rows.
 *
 *     cc -o client client.c && ./client SOCKET > rows
 *
 * It fills the messages through the offsets in ../protocol.md, and expects a
 * little-endian machine.
 */
#define _GNU_SOURCE
#include <linux/dma-buf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELLO = 1, SUBSCRIBE = 2, RELEASE = 4,
       WELCOME = 0x8001, DONE = 0x8004, BUFFER = 0x8005, FRAME = 0x8006,
       ERROR = 0x8008, BYE = 0x8009 };

static unsigned char in[1024];          /* the last message; zero beyond its end */
static int fds[4];                      /* and what came with it */

static void die(const char *what) { perror(what); exit(1); }
static uint16_t u16(int at) { uint16_t v; memcpy(&v, in + at, 2); return v; }
static uint32_t u32(int at) { uint32_t v; memcpy(&v, in + at, 4); return v; }
static uint64_t u64(int at) { uint64_t v; memcpy(&v, in + at, 8); return v; }

static void transmit(int sock, uint16_t code, uint32_t size, uint32_t stream, unsigned char *m)
{
    memcpy(m, &code, 2);
    memcpy(m + 4, &size, 4);
    memcpy(m + 12, &stream, 4);
    if (send(sock, m, size, MSG_NOSIGNAL) != (ssize_t)size)
        die("send");
}

static uint16_t receive(int sock)       /* returns the code */
{
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof fds)]; } control;
    struct iovec iov = { in, sizeof in };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
                          .msg_control = &control, .msg_controllen = sizeof control };
    memset(in, 0, sizeof in);
    memset(fds, -1, sizeof fds);
    ssize_t got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    if (got < 0)
        die("recvmsg");
    if (got < 16 || u32(4) != got || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        fprintf(stderr, "the daemon hung up or sent nonsense\n");
        exit(1);
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    if (u16(0) == ERROR) {
        fprintf(stderr, "%.32s: %.240s: %.240s\n",
                (char *)in + 32, (char *)in + 64, (char *)in + 304);
        exit(1);
    }
    if (u16(0) == BYE) {
        fprintf(stderr, "the daemon is stopping\n");
        exit(1);
    }
    return u16(0);
}

static uint32_t pixel_size(uint32_t fourcc)     /* in bytes; 0 for what is not known here */
{
    static const struct { char name[5]; uint32_t size; } known[] = {
        { "XR24", 4 }, { "AR24", 4 }, { "XB24", 4 }, { "AB24", 4 }, { "RG24", 3 },
        { "BG24", 3 }, { "RG16", 2 }, { "XR30", 4 }, { "XR48", 8 }, { "AR48", 8 } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!memcmp(known[i].name, &fourcc, 4))
            return known[i].size;
    return 0;
}

static void synchronize(int fd, uint64_t flags)
{
    struct dma_buf_sync arg = { flags | DMA_BUF_SYNC_READ };
    while (ioctl(fd, DMA_BUF_IOCTL_SYNC, &arg) < 0)
        if (errno == ENOTTY)
            return;
        else if (errno != EINTR && errno != EAGAIN)
            die("DMA_BUF_IOCTL_SYNC");
}

int main(int argc, char **argv)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *path = argc > 1 ? argv[1] : "/run/captured/captured.sock";
    if (strlen(path) >= sizeof to.sun_path) {           /* cut, it would be another's */
        fprintf(stderr, "%s: the path is too long\n", path);
        return 1;
    }
    strcpy(to.sun_path, path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to) < 0)
        die(to.sun_path);

    unsigned char hello[64] = { 0 }, subscribe[40] = { 0 }, release[32] = { 0 };
    memcpy(hello + 16, "CAPD", 4);
    hello[20] = hello[22] = 1;                          /* versions 1 to 1 */
    memcpy(hello + 32, "snap", 4);
    transmit(sock, HELLO, sizeof hello, 0, hello);
    if (receive(sock) != WELCOME)
        return 1;
    uint32_t stream = 0;
    for (uint32_t left = u32(20); left; )
        if (receive(sock) == DONE) {
            left--;
            if (!stream)
                stream = u32(12);                       /* the first output */
        }

    subscribe[16] = 1 | 4;                              /* WRITEBACK or PATTERN */
    subscribe[28] = 1;                                  /* one credit */
    subscribe[32] = 1;                                  /* one frame */
    transmit(sock, SUBSCRIBE, sizeof subscribe, stream, subscribe);

    uint64_t size = 0, modifier = 0;
    uint32_t fourcc = 0, width = 0, height = 0, offset = 0, pitch = 0;
    int fd = -1;
    for (uint16_t code; (code = receive(sock)) != FRAME; )
        if (code == BUFFER) {                           /* one frame: one buffer */
            fd = fds[0], modifier = u64(16), size = u64(24), fourcc = u32(40);
            width = u32(44), height = u32(48), offset = u32(56), pitch = u32(72);
        }
    memcpy(release + 16, in + 16, 8);                   /* sequence */
    memcpy(release + 24, in + 64, 8);                   /* buffer, generation */

    fprintf(stderr, "%ux%u %.4s\n", width, height, (char *)&fourcc);
    uint64_t row = (uint64_t)width * pixel_size(fourcc);
    if (modifier || !row || !height || offset + (height - 1) * (uint64_t)pitch + row > size) {
        fprintf(stderr, "its pixels do not lie as this client knows\n");
        return 1;
    }
    unsigned char *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    synchronize(fd, DMA_BUF_SYNC_START);
    for (uint32_t y = 0; y < height; y++)
        if (fwrite(memory + offset + (size_t)y * pitch, 1, row, stdout) != row)
            die("standard output");
    synchronize(fd, DMA_BUF_SYNC_END);
    transmit(sock, RELEASE, sizeof release, stream, release);
    munmap(memory, size);
    close(fd);
    close(sock);
    if (fflush(stdout))
        die("standard output");
    return 0;
}
