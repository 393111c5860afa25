/* SPDX-License-Identifier: MIT
 *
 * Bad clients, many in one process.
 *
 *     bad SOCKET CLIENTS hold|deaf|again
 *
 * hold: read everything and never release. deaf: subscribe and never read again, as a client
 * does that was stopped. again: hold, and come back at once when cut off. Prints "begun" when all are subscribed; ends with its standard input.
 */
#include "client.h"
#include <poll.h>

enum { CREDITS = 4 };

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int count = atoi(argv[2]), deaf = !strcmp(argv[3], "deaf"), again = !strcmp(argv[3], "again");
    struct pollfd fds[MOST + 1] = { { .fd = 0, .events = POLLIN } };
    for (int i = 1; i <= count; i++)
        fds[i] = (struct pollfd){ .fd = subscribe(argv[1], CREDITS), .events = deaf ? 0 : POLLIN };
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
            fds[i].fd = again ? subscribe(argv[1], CREDITS) : -1;
        }
    }
    return 1;
}
