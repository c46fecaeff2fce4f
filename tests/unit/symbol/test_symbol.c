/* SPDX-License-Identifier: MIT */
/*
 * symbol: this very program's addresses, with DWARF, with a separate debug file,
 * with symbols only, with nothing; a file that was replaced; maps of JITs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "subject.h"
#include "symbol/demangle.h"
#include "symbol/perfmap.h"
#include "symbol/symbol.h"
#include "sys/elf.h"

static struct subject subject;
static char self[4096], dir[] = "/tmp/unit-symbol-XXXXXX";
static u8 id[CT_BUILD_ID_MAX];
static size_t id_len;

/* File offset of an address of this program. */
struct place {
	uintptr_t addr;
	u64 offset;
};

static int find_offset(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct place *p = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && p->addr >= start && p->addr < start + ph->p_filesz)
			p->offset = ph->p_offset + (p->addr - start);
	}
	return 1; /* the program itself comes first */
}

static u64 offset_of(uintptr_t addr)
{
	struct place p = { .addr = addr };

	dl_iterate_phdr(find_offset, &p);
	assert_int_not_equal(p.offset, 0);
	return p.offset;
}

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static ct_printf(1, 2) bool run(const char *fmt, ...)
{
	char cmd[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd) == 0;
}

static struct ct_symbolizer *symbolizer(void)
{
	struct ct_symbolizer *s;

	assert_int_equal(ct_symbolizer_create(&s), 0);
	return s;
}

static void assert_frame(const struct ct_frame *f, const char *function, int line, bool inlined)
{
	assert_string_equal(f->function, function);
	assert_true(f->known);
	assert_int_equal(f->inlined, inlined);
	assert_int_equal(f->line, line);
	assert_non_null(f->file);
	assert_non_null(strstr(f->file, "subject.c"));
}

static void expect_chain(struct ct_symbolizer *s, const char *path)
{
	struct ct_frame f[8];
	size_t nr = 0;

	assert_int_equal(ct_symbolize(s, path, id, id_len, offset_of(subject.inlined),
				      CT_SYMBOLIZE_RETURN, f, 8, &nr),
			 0);
	assert_int_equal(nr, 3);
	assert_frame(&f[0], "leaf", subject.line_leaf, true);
	assert_frame(&f[1], "middle", subject.line_middle, true);
	assert_frame(&f[2], "subject_inlined", subject.line_outer, false);
	assert_int_equal(ct_symbolize(s, path, id, id_len, offset_of(subject.plain),
				      CT_SYMBOLIZE_RETURN, f, 8, &nr),
			 0);
	assert_int_equal(nr, 1);
	assert_frame(&f[0], "subject_plain", subject.line_plain, false);
	assert_true(f[0].func_offset > 0 && f[0].func_offset < 200);
}

static void inlined_frames(void **state)
{
	struct ct_symbolizer *s = symbolizer();

	expect_chain(s, self);
	/* Again, from the cache. */
	expect_chain(s, self);
	ct_symbolizer_destroy(s);
}

static void little_room(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	u64 offset = offset_of(subject.inlined);
	struct ct_frame f[2];
	size_t nr = 9;

	assert_int_equal(ct_symbolize(s, self, id, id_len, offset, CT_SYMBOLIZE_RETURN, f, 0, &nr),
			 -EINVAL);
	assert_int_equal(nr, 9);
	assert_int_equal(ct_symbolize(s, self, id, id_len, offset, CT_SYMBOLIZE_RETURN, f, 2, &nr),
			 0);
	assert_int_equal(nr, 2);
	assert_string_equal(f[1].function, "middle");
	ct_symbolizer_destroy(s);
}

static void expect_place(struct ct_symbolizer *s, const char *path, const u8 *want, size_t len,
			 u64 offset, const char *base)
{
	struct ct_frame f;
	char name[256];
	size_t nr = 0;

	snprintf(name, sizeof(name), "%s+0x%llx", base, (unsigned long long)offset);
	assert_int_equal(ct_symbolize(s, path, want, len, offset, CT_SYMBOLIZE_RETURN, &f, 1, &nr),
			 0);
	assert_int_equal(nr, 1);
	assert_string_equal(f.function, name);
	assert_false(f.known);
	assert_null(f.file);
}

static void another_build_is_not_used(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	u8 other[CT_BUILD_ID_MAX];

	memcpy(other, id, sizeof(other));
	other[3] ^= 1;
	expect_place(s, self, other, id_len, offset_of(subject.plain), strrchr(self, '/') + 1);
	expect_place(s, self, id, id_len - 1, offset_of(subject.plain), strrchr(self, '/') + 1);
	/* The same file, asked for rightly, goes on working. */
	expect_chain(s, self);
	ct_symbolizer_destroy(s);
}

static void files_that_are_not_there(void **state)
{
	struct ct_symbolizer *s = symbolizer();

	expect_place(s, "/nowhere/libgone.so.1", NULL, 0, 0x1234, "libgone.so.1");
	expect_place(s, "/dev/null", NULL, 0, 0x1234, "null");
	expect_place(s, "/etc/passwd", NULL, 0, 0x10, "passwd");
	expect_place(s, "[vdso]", NULL, 0, 0x10, "[vdso]");
	expect_place(s, "", NULL, 0, 0x10, "");
	/* Past the file's end, and in no segment. */
	expect_place(s, self, id, id_len, 1ULL << 40, strrchr(self, '/') + 1);
	expect_place(s, self, id, id_len, UINT64_MAX, strrchr(self, '/') + 1);
	ct_symbolizer_destroy(s);
}

static void symbols_only(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	struct ct_frame f[4];
	size_t nr;

	if (!run("objcopy --strip-debug '%s' '%s'", self, in_dir("nodebug")))
		skip();
	assert_int_equal(ct_symbolizer_debug_path(s, ""), 0);
	assert_int_equal(ct_symbolize(s, in_dir("nodebug"), id, id_len, offset_of(subject.inlined),
				      CT_SYMBOLIZE_RETURN, f, 4, &nr),
			 0);
	assert_int_equal(nr, 1);
	assert_string_equal(f[0].function, "subject_inlined");
	assert_true(f[0].known);
	assert_null(f[0].file);
	assert_true(f[0].func_offset > 0);
	ct_symbolizer_destroy(s);
}

static void nothing_left(void **state)
{
	struct ct_symbolizer *s = symbolizer();

	if (!run("objcopy --strip-all '%s' '%s'", self, in_dir("bare")))
		skip();
	assert_int_equal(ct_symbolizer_debug_path(s, ""), 0);
	expect_place(s, in_dir("bare"), id, id_len, offset_of(subject.plain), "bare");
	ct_symbolizer_destroy(s);
}

/* A stripped file, and what was stripped, by build id in a directory of our own. */
static void separate_debug_file(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	char hex[2 * CT_BUILD_ID_MAX + 1] = "", *h = hex;

	for (size_t i = 0; i < id_len; i++)
		h += sprintf(h, "%02x", id[i]);
	if (!run("mkdir -p '%s/.build-id/%.2s' && objcopy --only-keep-debug '%s' "
		 "'%s/.build-id/%.2s/%s.debug'"
		 " && objcopy --strip-all '%s' '%s'",
		 dir, hex, self, dir, hex, hex + 2, self, in_dir("stripped")))
		skip();
	assert_int_equal(ct_symbolizer_debug_path(s, dir), 0);
	expect_chain(s, in_dir("stripped"));
	ct_symbolizer_destroy(s);
}

/* The file that ran is gone, and its directory holds another one; the build id finds it. */
static void found_by_build_id(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	char hex[2 * CT_BUILD_ID_MAX + 1] = "", *h = hex;

	for (size_t i = 0; i < id_len; i++)
		h += sprintf(h, "%02x", id[i]);
	if (!run("mkdir -p '%s/.build-id/%.2s' && ln -sf '%s' '%s/.build-id/%.2s/%s'", dir, hex,
		 self, dir, hex, hex + 2))
		skip();
	assert_int_equal(ct_symbolizer_debug_path(s, dir), 0);
	expect_chain(s, "/nowhere/program");
	expect_chain(s, "/etc/passwd");
	ct_symbolizer_destroy(s);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void jit_names(void **state)
{
	struct ct_symbolizer *s = symbolizer();
	struct ct_frame f;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	write_file(path, "1000 100 old:name with blanks\n"
			 "2000 80 other\n"
			 "junk\n"
			 "3000 0 empty\n"
			 "1080 40 newer\n"
			 "ffffffffffffff00 200 wraps\n"
			 "5000 10 torn");
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x1010, 0, &f), 0);
	assert_string_equal(f.function, "old:name with blanks");
	assert_int_equal(f.func_offset, 0x10);
	assert_true(f.known);
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x1090, 0, &f), 0);
	assert_string_equal(f.function, "newer");
	/* Past the newer one's end the older one is still there. */
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x10c0, 0, &f), 0);
	assert_string_equal(f.function, "old:name with blanks");
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x10c0, CT_SYMBOLIZE_RETURN, &f), 0);
	assert_string_equal(f.function, "newer");
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x1100, 0, &f), 0);
	assert_string_equal(f.function, "0x1100");
	assert_false(f.known);
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0x5000, 0, &f), 0);
	assert_false(f.known);
	assert_int_equal(ct_symbolize_jit(s, getpid(), 0, CT_SYMBOLIZE_RETURN, &f), 0);
	assert_false(f.known);
	/* Nobody has such a pid. */
	assert_int_equal(ct_symbolize_jit(s, -5, 0x1010, 0, &f), 0);
	assert_string_equal(f.function, "0x1010");
	unlink(path);
	ct_symbolizer_destroy(s);
}

static void demangles(void **state)
{
	struct ct_demangler d = { 0 };
	struct ct_pool pool = { 0 };
	const char *plain = "main", *broken = "_Zxx";

	assert_ptr_equal(ct_demangle(&d, &pool, plain), plain);
	assert_false(d.tried);
	assert_ptr_equal(ct_demangle(&d, &pool, broken), broken);
	if (d.demangle)
		assert_string_equal(ct_demangle(&d, &pool, "_ZN5arena5writeEPci"),
				    "arena::write(char*, int)");
	ct_demangler_fini(&d);
	ct_pool_fini(&pool);
}

/* A thousand strings, one longer than a block among them: all stay where they are. */
static void pool_keeps(void **state)
{
	const char *kept[1000];
	struct ct_pool pool = { 0 };
	char text[32];

	for (int i = 0; i < 1000; i++)
		kept[i] = i == 500 ? ct_pool_format(&pool, "%040000d", i)
				   : ct_pool_format(&pool, "string %d of many", i);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "string %d of many", i);
		if (i == 500)
			assert_int_equal(strlen(kept[i]), 40000);
		else
			assert_string_equal(kept[i], text);
	}
	ct_pool_fini(&pool);
	ct_pool_fini(&pool);
}

static void destroys_nothing(void **state)
{
	ct_symbolizer_destroy(NULL);
}

static int setup(void **state)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	/* Nobody's server is asked in a test. */
	unsetenv("DEBUGINFOD_URLS");
	subject = subject_run();
	return n > 0 && mkdtemp(dir) && ct_elf_build_id(self, id, &id_len) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	return run("rm -rf '%s'", dir) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inlined_frames),
		cmocka_unit_test(little_room),
		cmocka_unit_test(another_build_is_not_used),
		cmocka_unit_test(files_that_are_not_there),
		cmocka_unit_test(symbols_only),
		cmocka_unit_test(nothing_left),
		cmocka_unit_test(separate_debug_file),
		cmocka_unit_test(found_by_build_id),
		cmocka_unit_test(jit_names),
		cmocka_unit_test(demangles),
		cmocka_unit_test(pool_keeps),
		cmocka_unit_test(destroys_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
