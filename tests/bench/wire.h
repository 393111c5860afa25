/* SPDX-License-Identifier: MIT
 *
 * The messages of docs/protocol.md that the benchmark's programs speak.
 */
#ifndef WIRE_H
#define WIRE_H
#include <stdint.h>

enum { HELLO = 1, SUBSCRIBE = 2, RELEASE = 4,
       WELCOME = 0x8001, STREAM = 0x8002, DONE = 0x8004, BUFFER = 0x8005, FRAME = 0x8006 };

struct header { uint16_t code, flags; uint32_t size, serial, stream; };
struct hello { struct header h; uint32_t magic; uint16_t version_min, version_max;
               uint64_t capabilities; char name[32]; };
struct subscribe { struct header h; uint32_t sources, flags, fourcc, credits, frames, max_fps; };
struct release { struct header h; uint64_t sequence; uint32_t buffer, generation; };
struct welcome { struct header h; uint32_t version, streams; uint64_t capabilities, instance;
                 uint32_t max_credits, lease_ms; char driver[32], daemon[32]; };
struct stream { struct header h; uint32_t state, source, width, height, refresh, fourcc,
                connector_id, crtc_id, clients, pad; char name[32], card[32], writeback[32],
                code[32], reason[240], hint[240]; };
struct done { struct header h; };
struct buffer { struct header h; uint64_t modifier, size; uint32_t buffer, generation, fourcc,
                width, height, planes, offset[4], pitch[4]; };
struct frame { struct header h; uint64_t sequence, vblank, missed, commit_ns, vblank_ns, done_ns;
               uint32_t buffer, generation, source, flags; };

_Static_assert(sizeof(struct hello) == 64 && sizeof(struct subscribe) == 40, "protocol.md");
_Static_assert(sizeof(struct release) == 32 && sizeof(struct welcome) == 112, "protocol.md");
_Static_assert(sizeof(struct stream) == 664 && sizeof(struct buffer) == 88, "protocol.md");
_Static_assert(sizeof(struct frame) == 80, "protocol.md");
#endif
