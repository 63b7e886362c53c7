/* LZF, the compression of PCD's binary_compressed, written from the description of the stream format.
 *
 * A stream is a sequence of blocks. The first byte c of a block says what follows:
 *   c < 32    a literal run: the next c + 1 bytes are copied from the stream.
 *   c >= 32   a copy of bytes that were written before. Its length is (c >> 5) + 2; if c >> 5 is 7,
 *             the next byte is added to it. The lower five bits of c and the byte behind them are
 *             the distance less one, 13 bits.
 * Positions and lengths are int64_t and every one is compared with what is left before it is used,
 * so no stream can make these functions read or write beyond the arguments' lengths. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define MAX_RUN 32
#define LONG_COPY 7                         /* in the upper three bits: one more length byte */
#define MAX_COPY (LONG_COPY + 255 + 2)      /* 264 bytes */
#define MAX_DISTANCE (1 << 13)
#define MIN_COPY 3
#define WORD 8                              /* bytes that a copy moves at a time */
#define TABLE_BITS 14

/* Copies bytes that may overlap: with distance 1, one byte is repeated. room: bytes of the target
 * from position `written` on, at least `length`. */
static void copy_earlier(uint8_t *target, int64_t written, int64_t distance, int64_t length,
                         int64_t room) {
    uint8_t *to = target + written;
    const uint8_t *from = to - distance;
    if (distance >= WORD && length + WORD <= room) {
        /* Whole words. The last one may write up to seven bytes too many, which the next block
         * overwrites; none of them lies beyond the target. */
        for (int64_t at = 0; at < length; at += WORD) memcpy(to + at, from + at, WORD);
        return;
    }
    for (int64_t at = 0; at < length; at++) to[at] = from[at];
}

int32_t c3d_lzf_decompress(const uint8_t *source, int64_t source_bytes, uint8_t *target,
                           int64_t target_bytes) {
    int64_t read = 0, written = 0;
    while (read < source_bytes) {
        int32_t control = source[read++];
        int64_t room = target_bytes - written;
        if (control < MAX_RUN) {
            int64_t run = control + 1;
            if (run > source_bytes - read || run > room) return C3D_BAD_ARGUMENT;
            if (source_bytes - read >= MAX_RUN && room >= MAX_RUN)
                memcpy(target + written, source + read, MAX_RUN); /* a constant size is faster */
            else
                memcpy(target + written, source + read, (size_t)run);
            read += run;
            written += run;
            continue;
        }
        int64_t length = control >> 5;
        if (length == LONG_COPY) {
            if (read >= source_bytes) return C3D_BAD_ARGUMENT;
            length += source[read++];
        }
        length += 2;
        if (read >= source_bytes) return C3D_BAD_ARGUMENT;
        int64_t distance = ((int64_t)(control & 31) << 8) + source[read++] + 1;
        if (distance > written || length > room) return C3D_BAD_ARGUMENT;
        copy_earlier(target, written, distance, length, room);
        written += length;
    }
    return written == target_bytes ? C3D_OK : C3D_BAD_ARGUMENT;
}

int64_t c3d_lzf_max_bytes(int64_t source_bytes) {
    /* Literal runs take one byte more for every 32. A copy is shorter than what it stands for, by
     * at least the control byte of the run before it. */
    return source_bytes + (source_bytes + MAX_RUN - 1) / MAX_RUN;
}

/* Writes literal runs and returns the end of what was written. */
static uint8_t *put_literals(uint8_t *to, const uint8_t *from, int64_t bytes) {
    while (bytes > 0) {
        int64_t run = bytes < MAX_RUN ? bytes : MAX_RUN;
        *to++ = (uint8_t)(run - 1);
        memcpy(to, from, (size_t)run);
        to += run;
        from += run;
        bytes -= run;
    }
    return to;
}

static uint8_t *put_copy(uint8_t *to, int64_t distance, int64_t length) {
    int64_t back = distance - 1, extra = length - 2;
    int64_t upper = extra < LONG_COPY ? extra : LONG_COPY;
    *to++ = (uint8_t)(upper << 5 | back >> 8);
    if (upper == LONG_COPY) *to++ = (uint8_t)(extra - LONG_COPY);
    *to++ = (uint8_t)(back & 255);
    return to;
}

int64_t c3d_lzf_compress(const uint8_t *source, int64_t source_bytes, uint8_t *target) {
    /* Where three bytes of a hash were seen last; -1 for never. */
    int64_t *last = malloc(sizeof *last << TABLE_BITS);
    if (!last) return C3D_NO_MEMORY;
    memset(last, 0xff, sizeof *last << TABLE_BITS);
    uint8_t *to = target;
    int64_t at = 0, literals = 0; /* the next byte; the first one that is not written yet */
    while (at + MIN_COPY <= source_bytes) {
        const uint8_t *here = source + at;
        uint32_t three = here[0] | (uint32_t)here[1] << 8 | (uint32_t)here[2] << 16;
        uint32_t slot = three * 2654435761u >> (32 - TABLE_BITS);
        int64_t before = last[slot];
        last[slot] = at;
        if (before < 0 || at - before > MAX_DISTANCE || memcmp(source + before, here, MIN_COPY)) {
            at++;
            continue;
        }
        int64_t left = source_bytes - at;
        int64_t longest = left < MAX_COPY ? left : MAX_COPY, length = MIN_COPY;
        while (length < longest && source[before + length] == here[length]) length++;
        to = put_literals(to, source + literals, at - literals);
        to = put_copy(to, at - before, length);
        at += length;
        literals = at;
    }
    to = put_literals(to, source + literals, source_bytes - literals);
    free(last);
    return to - target;
}
