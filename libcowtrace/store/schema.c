/* SPDX-License-Identifier: MIT */
/*
 * The tables of a trace, and the words that stand in them for enums.  Words and
 * not numbers, so that sqlite3, DuckDB or pandas need no key.
 *
 * Invariant: rows may come in any order (a fork's end before its start), so no
 * column but a key is NOT NULL and nothing is enforced between tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "store/schema.h"

const char *const ct_schema_sql[] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
	"CREATE TABLE processes(id INTEGER PRIMARY KEY, parent INTEGER, pid INTEGER,"
	" parent_pid INTEGER, comm TEXT, exe TEXT, start_ns INTEGER, end_ns INTEGER,"
	" ended TEXT, wstatus INTEGER)",
	"CREATE TABLE modules(id INTEGER PRIMARY KEY, path TEXT, build_id BLOB)",
	"CREATE TABLE frames(site INTEGER, depth INTEGER, module INTEGER, \"offset\" INTEGER,"
	" PRIMARY KEY(site, depth)) WITHOUT ROWID",
	"CREATE TABLE forks(id INTEGER PRIMARY KEY, parent INTEGER, child INTEGER,"
	" child_pid INTEGER, site INTEGER, phase TEXT, how TEXT, start_ns INTEGER,"
	" end_ns INTEGER, hold_ns INTEGER, fork_ns INTEGER, arm_ns INTEGER, event_ns INTEGER,"
	" pages_shared INTEGER, huge_pages_shared INTEGER, swapped INTEGER, late INTEGER,"
	" copied_min INTEGER, copied_max INTEGER, runs_of INTEGER)",
	"CREATE TABLE sides(fork INTEGER, side TEXT, ended TEXT, t_ns INTEGER, copied INTEGER,"
	" dropped INTEGER, fresh INTEGER, unknown INTEGER, kept INTEGER, attributed INTEGER,"
	" PRIMARY KEY(fork, side)) WITHOUT ROWID",
	"CREATE TABLE regions(id INTEGER PRIMARY KEY, process INTEGER, start_addr INTEGER,"
	" end_addr INTEGER, kind TEXT, name TEXT, tagged INTEGER, site INTEGER, thp TEXT,"
	" ksm TEXT, fork_advice TEXT, t_ns INTEGER)",
	"CREATE TABLE region_counts(fork INTEGER, region INTEGER, side TEXT, shared INTEGER,"
	" huge INTEGER, copied INTEGER, dropped INTEGER, fresh INTEGER, unknown INTEGER,"
	" PRIMARY KEY(fork, region, side)) WITHOUT ROWID",
	"CREATE TABLE timeline(t_ns INTEGER, fork INTEGER, side TEXT, copied INTEGER)",
	"CREATE TABLE witnesses(process INTEGER, fork INTEGER, t_ns INTEGER,"
	" private_dirty INTEGER, census_private INTEGER, why TEXT)",
	"CREATE TABLE events(process INTEGER, type TEXT, t_ns INTEGER, dur_ns INTEGER,"
	" addr INTEGER, len INTEGER, arg INTEGER, arg2 INTEGER, arg3 INTEGER, site INTEGER,"
	" name TEXT)",
	"CREATE TABLE runs(fork INTEGER, page INTEGER, pages INTEGER, state INTEGER,"
	" PRIMARY KEY(fork, page)) WITHOUT ROWID",
	/*
	 * A row for each first write, millions of them: what takes few values is in
	 * write_kinds, as words, and here a small number.
	 */
	"CREATE TABLE writes(process INTEGER, fork INTEGER, t_ns INTEGER, page INTEGER,"
	" pages INTEGER, site INTEGER, kind INTEGER, syscall INTEGER, pc INTEGER)",
	"CREATE TABLE write_kinds(id INTEGER PRIMARY KEY, side TEXT, access TEXT, no_site TEXT,"
	" huge INTEGER, predicted TEXT, reason TEXT, decides TEXT, likely TEXT, observed TEXT)",
	"CREATE TABLE thp_losses(process INTEGER, fork INTEGER, t_ns INTEGER, cause TEXT, addr "
	"INTEGER,"
	" len INTEGER, site INTEGER)",
	"CREATE TABLE unattributed(fork INTEGER, side TEXT, reason TEXT, pages INTEGER,"
	" PRIMARY KEY(fork, side, reason)) WITHOUT ROWID",
	"CREATE TABLE carried(fork INTEGER PRIMARY KEY, pages_shared INTEGER)",
	"CREATE TABLE notes(t_ns INTEGER, process INTEGER, severity TEXT, code TEXT, text TEXT)",
	"CREATE VIEW first_writes AS SELECT w.process, w.fork, k.side, w.t_ns, w.page, w.pages,"
	" w.site, k.no_site, k.access, w.syscall, w.pc, k.huge, k.predicted, k.reason, k.decides,"
	" k.likely, k.observed FROM writes w JOIN write_kinds k ON k.id = w.kind",
	NULL,
};

static const char *const side_names[] = {
	[CT_SIDE_PARENT] = "parent",
	[CT_SIDE_CHILD] = "child",
};
static const char *const ended_names[] = {
	[CT_ENDED_RUNNING] = "running",
	[CT_ENDED_EXIT] = "exit",
	[CT_ENDED_EXEC] = "exec",
	[CT_ENDED_KILLED] = "killed",
};
static const char *const side_end_names[] = {
	[CT_SIDE_END_OPEN] = "open",	       [CT_SIDE_END_RELATIVE_GONE] = "relative_gone",
	[CT_SIDE_END_EXIT] = "exit",	       [CT_SIDE_END_EXEC] = "exec",
	[CT_SIDE_END_NEXT_FORK] = "next_fork", [CT_SIDE_END_RECORDING] = "recording_end",
	[CT_SIDE_END_KILLED] = "killed",       [CT_SIDE_END_TIMEOUT] = "timeout",
	[CT_SIDE_END_NEXT_FILE] = "next_file",
};
static const char *const kind_names[] = {
	[CT_KIND_ANON] = "anon",
	[CT_KIND_HEAP] = "heap",
	[CT_KIND_STACK] = "stack",
	[CT_KIND_BSS] = "bss",
	[CT_KIND_ARENA] = "arena",
	[CT_KIND_SHARED] = "shared",
	[CT_KIND_FILE_PRIVATE] = "file_private",
	[CT_KIND_COWTRACE] = "cowtrace",
};
static const char *const thp_names[] = {
	[CT_THP_UNSET] = "unset",
	[CT_THP_HUGEPAGE] = "hugepage",
	[CT_THP_NOHUGEPAGE] = "nohugepage",
	[CT_THP_DISABLED] = "disabled",
};
static const char *const ksm_names[] = {
	[CT_KSM_UNSET] = "unset",
	[CT_KSM_MERGEABLE] = "mergeable",
	[CT_KSM_UNMERGEABLE] = "unmergeable",
	[CT_KSM_PROCESS] = "process",
};
static const char *const fork_advice_names[] = {
	[CT_FORK_UNSET] = "unset",
	[CT_FORK_DONTFORK] = "dontfork",
	[CT_FORK_WIPEONFORK] = "wipeonfork",
};
static const char *const access_names[] = {
	[CT_ACCESS_USER] = "user",
	[CT_ACCESS_KERNEL] = "kernel",
	[CT_ACCESS_FOREIGN] = "foreign",
};
static const char *const no_site_names[] = {
	[CT_SITE_KNOWN] = "known",
	[CT_NO_ENGINE] = "no_engine",
	[CT_NO_FILE_PRIVATE] = "file_private",
	[CT_NO_FORK_WINDOW] = "fork_window",
	[CT_NO_KERNEL_WRITE] = "kernel_write",
	[CT_NO_BLOCKED_SIGNAL] = "blocked_signal",
	[CT_NO_RECORDER_LATE] = "recorder_late",
	[CT_NO_SAMPLED] = "not_sampled",
	[CT_NO_KILLED] = "killed",
	[CT_NO_STACK] = "no_stack",
};

static int parse_word(const char *const *names, size_t nr, const char *s, int fallback)
{
	for (size_t i = 0; s && i < nr; i++)
		if (!strcmp(names[i], s))
			return (int)i;
	return fallback;
}

#define CT_WORDS(fn, type, names)                                            \
	const char *ct_##fn##_name(type v)                                   \
	{                                                                    \
		return (size_t)v < ct_array_size(names) ? (names)[v] : NULL; \
	}                                                                    \
	int ct_##fn##_parse(const char *s, int fallback)                     \
	{                                                                    \
		return parse_word(names, ct_array_size(names), s, fallback); \
	}

CT_WORDS(side, enum ct_side, side_names)
CT_WORDS(ended, enum ct_ended, ended_names)
CT_WORDS(side_end, enum ct_side_end, side_end_names)
CT_WORDS(kind, enum ct_kind, kind_names)
CT_WORDS(thp_advice, enum ct_thp_advice, thp_names)
CT_WORDS(ksm_advice, enum ct_ksm_advice, ksm_names)
CT_WORDS(fork_advice, enum ct_fork_advice, fork_advice_names)
CT_WORDS(access, enum ct_access, access_names)
CT_WORDS(no_site, enum ct_no_site, no_site_names)

static u32 be32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

int ct_sqlite_header_parse(const u8 bytes[CT_SQLITE_HEADER_LEN], struct ct_sqlite_header *ret)
{
	u32 page_len;

	if (memcmp(bytes, CT_SQLITE_MAGIC, sizeof(CT_SQLITE_MAGIC)))
		return -EINVAL;
	page_len = (u32)bytes[16] << 8 | bytes[17];
	ret->page_len = page_len == 1 ? 65536 : page_len;
	ret->wal = bytes[18] == 2;
	ret->nr_pages = be32(bytes + 28);
	ret->user_version = be32(bytes + 60);
	ret->application_id = be32(bytes + 68);
	return 0;
}

/* SQLite's shared range: PENDING_BYTE + 2, 510 bytes (its os.h; part of the file format). */
bool ct_sqlite_in_use(int fd, int *ret_pid)
{
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = 0x40000000 + 2,
		.l_len = 510,
	};

	if (fcntl(fd, F_GETLK, &fl) || fl.l_type == F_UNLCK)
		return false;
	*ret_pid = fl.l_pid;
	return true;
}
