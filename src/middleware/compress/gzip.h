/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/compress/gzip.h - what the makers of gzip share (RFC 1952).
 */
#ifndef MIDDLEWARE_COMPRESS_GZIP_H
#define MIDDLEWARE_COMPRESS_GZIP_H

#include "middleware/compress/coding.h"

enum { GZIP_HEAD_BYTES = 10 };

extern const struct coder_ops gzip_isal_encoder, gzip_lazy_encoder, gzip_zlib_encoder;
extern const struct coder_ops gzip_zlib_decoder;

/* The ten bytes of a header, and padding as a file's name: what hides a length ("Heal the BREACH",
 * Palacios and others, 2022). */
void gzip_head(struct coder_lead *lead, size_t padding);

#endif
