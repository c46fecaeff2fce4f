/* SPDX-License-Identifier: MIT */
/*
 * Whatever gives a part of a unit other properties than the rest splits the VMA, and
 * with it the mapping: protection, locking, advice, memory policy, a name.  The huge
 * page stays one.  Done to the whole unit, nothing is lost.  Where the VMA has the
 * property already nothing is split: the call changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define MPOL_PREFERRED 1

static size_t at, len;

static char *protect(char *unit)
{
	return mprotect(unit + at, len, PROT_READ) ? NULL : unit;
}

static char *lock(char *unit)
{
	/* By number: the address sanitizer makes nothing of the functions. */
	char *ret = syscall(SYS_mlock, unit + at, len) ? NULL : unit;

	syscall(SYS_munlock, unit, HUGE);
	return ret;
}

static char *nohugepage(char *unit)
{
	return madvise(unit + at, len, MADV_NOHUGEPAGE) ? NULL : unit;
}

static char *hugepage_again(char *unit)
{
	return madvise(unit + SMALL, SMALL, MADV_HUGEPAGE) ? NULL : unit;
}

static char *dontfork(char *unit)
{
	return madvise(unit + at, len, MADV_DONTFORK) ? NULL : unit;
}

static char *dontdump(char *unit)
{
	return madvise(unit + at, len, MADV_DONTDUMP) ? NULL : unit;
}

static char *mergeable(char *unit)
{
	return madvise(unit + at, len, MADV_MERGEABLE) ? NULL : unit;
}

static char *bind_node(char *unit)
{
	unsigned long node = 1;

	return syscall(SYS_mbind, unit + at, len, MPOL_PREFERRED, &node, 64UL, 0UL) ? NULL : unit;
}

static char *name(char *unit)
{
	return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, unit + at, len, "a part") ? NULL : unit;
}

int main(void)
{
	static const struct {
		const char *what;
		char *(*act)(char *unit);
	} all[] = {
		{ "mprotect", protect },	   { "mlock", lock },
		{ "MADV_NOHUGEPAGE", nohugepage }, { "MADV_DONTFORK", dontfork },
		{ "MADV_DONTDUMP", dontdump },	   { "mbind", bind_node },
		{ "PR_SET_VMA_ANON_NAME", name },  { "MADV_MERGEABLE", mergeable },
	};
	char what[64];

	unit_check("MADV_HUGEPAGE of a part, which all has", hugepage_again,
		   (struct want){ 0, 0, true });
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		/* What this kernel is built without cannot be seen; the others can. */
		errno = 0;
		at = 0;
		len = HUGE;
		if (!all[i].act(unit_new())) {
			printf("%s: %s here\n", all[i].what, strerror(errno));
			continue;
		}
		snprintf(what, sizeof(what), "%s of all", all[i].what);
		unit_check(what, all[i].act, (struct want){ 0, 0, true });
		at = len = SMALL;
		snprintf(what, sizeof(what), "%s of a part", all[i].what);
		unit_check(what, all[i].act, (struct want){ 1, 0, false });
	}
	return lab_result();
}
