/* SPDX-License-Identifier: MIT
 *
 * The control on a real writeback connector: the daemon's work in C.
 *
 *     kms_control SOCKET CARD WIDTHxHEIGHT FOURCC SETTLE_US CRTC CONNECTOR P_CRTC P_FB P_FENCE
 *
 * The last five are object and property numbers, which whoever starts it has looked up. It is
 * master, attaches the connector, commits one job after the other while somebody subscribes,
 * waits for each fence, and pauses for SETTLE_US after it. A fence that does not end within a
 * second is counted, and the program ends. Runs until SIGTERM.
 */
#include "fanout.h"
#include <drm.h>
#include <drm_mode.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

static int card;
static uint32_t crtc, connector, p_crtc, p_fb, p_fence, fb[POOL];

static void must(unsigned long request, void *argument, const char *what)
{
    while (ioctl(card, request, argument) < 0)
        if (errno != EINTR && errno != EAGAIN)
            die(what);
}

static void capability(uint64_t number)
{
    struct drm_set_client_cap set = { number, 1 };
    must(DRM_IOCTL_SET_CLIENT_CAP, &set, "capability");
}

static void allocate(int slot, uint32_t fourcc)
{
    struct drm_mode_create_dumb dumb = { .width = width, .height = height, .bpp = 32 };
    must(DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "dumb buffer");
    struct drm_mode_fb_cmd2 add = { .width = width, .height = height, .pixel_format = fourcc,
                                    .handles = { dumb.handle }, .pitches = { dumb.pitch } };
    must(DRM_IOCTL_MODE_ADDFB2, &add, "framebuffer");
    struct drm_prime_handle prime = { .handle = dumb.handle, .flags = DRM_CLOEXEC, .fd = -1 };
    must(DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime, "dma-buf");
    fb[slot] = add.fb_id, pool_fd[slot] = prime.fd, pitch = dumb.pitch, size = dumb.size;
}

static int commit(uint32_t flags, const uint32_t *props, const uint64_t *values, uint32_t n)
{
    struct drm_mode_atomic atomic = { .flags = flags, .count_objs = 1,
        .objs_ptr = (uintptr_t)&connector, .count_props_ptr = (uintptr_t)&n,
        .props_ptr = (uintptr_t)props, .prop_values_ptr = (uintptr_t)values };
    return ioctl(card, DRM_IOCTL_MODE_ATOMIC, &atomic);
}

static int is_wanted(void)
{
    for (int i = 0; i < count; i++)
        if (clients[i].fd >= 0 && clients[i].credits)
            return 1;
    return 0;
}

/* Start a job; returns its fence, or -1 when nobody wants it or the CRTC is busy. */
static int start(int *slot)
{
    int32_t fence = -1;
    if (!is_wanted() || (*slot = free_slot()) < 0)
        return -1;
    uint32_t props[] = { p_fb, p_fence };
    uint64_t values[] = { fb[*slot], (uintptr_t)&fence };
    if (commit(DRM_MODE_ATOMIC_NONBLOCK, props, values, 2) && errno != EBUSY)
        die("commit");
    return fence;
}

int main(int argc, char **argv)
{
    if (argc != 11 || sscanf(argv[3], "%ux%u", &width, &height) != 2)
        return 2;
    uint32_t fourcc = strtoul(argv[4], NULL, 0), settle_us = atoi(argv[5]);
    crtc = atoi(argv[6]), connector = atoi(argv[7]);
    p_crtc = atoi(argv[8]), p_fb = atoi(argv[9]), p_fence = atoi(argv[10]);
    source = 1;
    if ((card = open(argv[2], O_RDWR | O_CLOEXEC)) < 0)
        die(argv[2]);
    must(DRM_IOCTL_SET_MASTER, NULL, "master");
    capability(DRM_CLIENT_CAP_UNIVERSAL_PLANES);
    capability(DRM_CLIENT_CAP_ATOMIC);
    capability(DRM_CLIENT_CAP_WRITEBACK_CONNECTORS);
    for (int slot = 0; slot < POOL; slot++)
        allocate(slot, fourcc);
    if (commit(DRM_MODE_ATOMIC_ALLOW_MODESET, &p_crtc, &(uint64_t){ crtc }, 1))
        die("attach");
    int door = listen_on(argv[1]), ep = epoll_create1(EPOLL_CLOEXEC);
    watch(ep, door, MOST);
    puts("ready");
    fflush(stdout);
    int fence = -1, slot = -1;
    uint64_t asked = 0, not_before = 0;
    for (;;) {
        if (fence < 0 && now() >= not_before) {
            asked = now();
            if ((fence = start(&slot)) >= 0)
                watch(ep, fence, MOST + 1);
        }
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, fence < 0 ? 1 : 1000);
        if (fence >= 0 && n == 0) {
            fprintf(stderr, "lost a job\n");
            return 3;
        }
        for (int i = 0; i < n; i++)
            if (got[i].data.u32 == MOST + 1) {
                uint64_t done = now();
                close(fence);
                fence = -1;
                not_before = done + settle_us * 1000ull;
                publish(slot, 0, asked, done);
            }
        for (int i = 0; i < n; i++)
            serve(ep, door, got[i].data.u32);
    }
}
