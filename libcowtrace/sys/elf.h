/* SPDX-License-Identifier: MIT */
/*
 * The few facts of an ELF file (or a script) that the recorder needs, without
 * libdw.  Files are somebody else's: every offset and size is checked.
 * Native byte order; both classes.  Thread-safe.
 */
#ifndef CT_SYS_ELF_H
#define CT_SYS_ELF_H

#include "base/base.h"

#define CT_BUILD_ID_MAX 20
#define CT_SCRIPT_INTERP 256 /* the kernel reads as much of a #! line */

struct ct_elf_kind {
	bool is_elf;
	/*
	 * No PT_INTERP: no dynamic loader, so nothing can be preloaded.  (The loader
	 * itself, run as a command, is one of these.)
	 */
	bool is_static;
	u8 elf_class; /* ELFCLASS32, ELFCLASS64 */
	u16 machine;  /* EM_* */
	/*
	 * Each of these makes the kernel run it in secure mode, where the loader
	 * ignores LD_PRELOAD, unless the user has the same rights already.
	 */
	bool setuid;
	bool setgid;
	bool file_caps;
	bool is_script;
	char interpreter[CT_SCRIPT_INTERP]; /* of a script, without its argument */
};

/*
 * The GNU build id of an ELF file.  A longer one is cut to CT_BUILD_ID_MAX bytes.
 * 0; -ENOEXEC: not an ELF file, or a damaged one; -ENODATA: it has none; -errno of
 * open or read (-EACCES also for what is not a regular file).
 */
int ct_elf_build_id(const char *path, u8 id[CT_BUILD_ID_MAX], size_t *ret_len);

/* The same of an open file; its position is left alone. */
int ct_elf_build_id_fd(int fd, u8 id[CT_BUILD_ID_MAX], size_t *ret_len);

/*
 * What kind of program path is.  A file that is neither ELF nor script (or is a
 * damaged one) is a success with is_elf and is_script false.
 * 0; -errno of open or read (-EACCES also for what is not a regular file).
 */
int ct_elf_kind(const char *path, struct ct_elf_kind *ret);

#endif
