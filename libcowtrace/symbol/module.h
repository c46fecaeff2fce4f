/* SPDX-License-Identifier: MIT */
/* One ELF file with its debug information, opened by libdwfl. */
#ifndef CT_SYMBOL_MODULE_H
#define CT_SYMBOL_MODULE_H

#include "base/base.h"
#include "symbol/symbol.h"

struct ct_symbol_module;

/*
 * Opens path when its build id is the one asked for (id_len 0: any), else what
 * elfutils finds by build id.  0; -ENOENT: neither is there; -ENOMEM.
 * *debug_path is libdwfl's list of directories, NULL for its default; it must
 * live as long as the module.
 */
int ct_symbol_module_open(const char *path, const u8 *id, size_t id_len, char **debug_path,
			  struct ct_symbol_module **ret);

/* NULL is fine.  Strings of its frames end here. */
void ct_symbol_module_close(struct ct_symbol_module *m);

/*
 * Frames at an offset of the file, leaf first, at most nr.  Returns how many; 0:
 * nothing is known of the place.
 */
size_t ct_symbol_module_lookup(struct ct_symbol_module *m, u64 file_offset, struct ct_frame *frames,
			       size_t nr);

#endif
