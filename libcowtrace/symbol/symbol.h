/* SPDX-License-Identifier: MIT */
/*
 * From a place in a file (build id and offset, as the trace has it) to function,
 * source line and inlined frames.  Analysis side only: it works on another
 * machine and another day, as long as the files, or their debug files, are there.
 *
 * Debug files are found the way elfutils finds them: beside the file, under
 * /usr/lib/debug, and from a debuginfod server only when the user has set
 * DEBUGINFOD_URLS.
 *
 * One thread at a time for each symbolizer.  Results are cached, so asking for
 * the same place again costs a hash look-up; the first time costs 10 us to some
 * ms, and the first time for a file the reading of its debug information.
 */
#ifndef CT_SYMBOL_SYMBOL_H
#define CT_SYMBOL_SYMBOL_H

#include <sys/types.h>

#include "base/base.h"

struct ct_symbolizer;

/* Strings belong to the symbolizer and live as long as it does. */
struct ct_frame {
	/* Never NULL.  Where no name is known: "MODULE+0xOFFSET", or "0xADDRESS". */
	const char *function; /* demangled */
	const char *file;     /* source file as the compiler was told; NULL unknown */
	int line;	      /* 0 unknown */
	bool inlined;	      /* its caller is the next frame of the same answer */
	bool known;	      /* false: function is a place, not a name */
	u64 func_offset;      /* from the start of the function that holds the code; 0 unknown */
};

/*
 * The place is a return address: look up the byte before it, which belongs to
 * the call.  Right for every frame but a leaf that a signal interrupted.
 */
#define CT_SYMBOLIZE_RETURN (1u << 0)

/* 0, -ENOMEM. */
int ct_symbolizer_create(struct ct_symbolizer **ret);

/* NULL is fine. */
void ct_symbolizer_destroy(struct ct_symbolizer *s);

/*
 * Where separate debug files are, a list with ':' as libdwfl takes it, instead of
 * ":.debug:/usr/lib/debug".  Before the first look-up.  0, -ENOMEM.
 */
int ct_symbolizer_debug_path(struct ct_symbolizer *s, const char *path);

/*
 * Frames at file_offset (bytes into the ELF file) of the file at path, leaf
 * first: inlined ones, then the function that holds them.
 *
 * build_id_len 0: the recorder knew none, and the file at path is believed.
 * Otherwise a file with another build id is not used, and a debug file of this
 * build id is looked for.
 *
 * Writes at most nr_frames (> 0) frames, 1 at least; where they do not suffice,
 * the innermost are given.  0; -EINVAL: nr_frames 0; -ENOMEM.
 */
int ct_symbolize(struct ct_symbolizer *s, const char *path, const u8 *build_id, size_t build_id_len,
		 u64 file_offset, unsigned int flags, struct ct_frame *frames, size_t nr_frames,
		 size_t *ret_nr);

/*
 * The same for code without a file: addr in process pid, by the map that a JIT
 * compiler left in /tmp/perf-PID.map.  Always one frame.  0, -ENOMEM.
 */
int ct_symbolize_jit(struct ct_symbolizer *s, pid_t pid, u64 addr, unsigned int flags,
		     struct ct_frame *ret);

#endif
