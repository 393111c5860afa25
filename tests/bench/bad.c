/* SPDX-License-Identifier: MIT
 *
 * Bad clients, many in one process.
 *
 *     bad SOCKET CLIENTS hold|deaf|again|keep
 *
 * hold: read everything and never release. deaf: subscribe and never read again, as a client
 * does that was stopped. again: hold, and come back at once when cut off. keep: release each
 * frame, but not before most of a lease. Prints "begun" when all are subscribed; ends with its
 * standard input.
 */
#include "client.h"
#include "clock.h"
#include <poll.h>

enum { CREDITS = 4, KEEP_NS = 200000000, LOOK_MS = 5, KEPT = MOST * CREDITS };

static struct { uint64_t due; int fd; struct release release; } kept[KEPT];
static unsigned first, end; /* of the ring of kept frames; the oldest is due first */

static void keep(int fd, const struct frame *f)
{
    struct release r = { { RELEASE, 0, sizeof r, 3, 1 }, f->sequence, f->buffer, f->generation };
    kept[end % KEPT].due = now() + KEEP_NS;
    kept[end % KEPT].fd = fd;
    kept[end++ % KEPT].release = r;
}

static void give_back(void)
{
    for (; first != end && kept[first % KEPT].due <= now(); first++)
        send(kept[first % KEPT].fd, &kept[first % KEPT].release, sizeof(struct release),
             MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int count = atoi(argv[2]), deaf = !strcmp(argv[3], "deaf"), again = !strcmp(argv[3], "again"),
        keeps = !strcmp(argv[3], "keep");
    struct pollfd fds[MOST + 1] = { { .fd = 0, .events = POLLIN } };
    for (int i = 1; i <= count; i++)
        fds[i] = (struct pollfd){ .fd = subscribe(argv[1], CREDITS), .events = deaf ? 0 : POLLIN };
    puts("begun");
    fflush(stdout);
    char data[MESSAGE];
    while (poll(fds, count + 1, keeps ? LOOK_MS : -1) >= 0) {
        give_back();
        if (fds[0].revents)
            return 0;
        for (int i = 1; i <= count; i++) {
            if (!fds[i].revents)
                continue;
            if (!deaf && receive(fds[i].fd, data) > 0) {
                if (keeps && ((struct header *)data)->code == FRAME)
                    keep(fds[i].fd, (struct frame *)data);
                continue;
            }
            close(fds[i].fd); /* cut off */
            fds[i].fd = again ? subscribe(argv[1], CREDITS) : -1;
        }
    }
    return 1;
}
