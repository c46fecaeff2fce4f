/* SPDX-License-Identifier: MIT */
/*
 * The caller of a system call, among the words of a stack: against code that this
 * test writes into a file and maps, so that each word is known for what it is.
 */
#include <sys/mman.h>

#include "recorder/callers.h"
#include "recorder_util.h"

#if defined(__x86_64__)
#define CODE_PAGES 4

static struct ct_outbox *out;
static struct ct_modules *mods;
static struct ct_modmap *map;
static u8 *code;
static char file[] = "/tmp/cowtrace-code-XXXXXX";

/* The function that makes the system call begins here, ... */
#define FUNCTION 0x100
/* ... and this is the address after its syscall instruction. */
#define PC 0x140

static u64 at(u64 offset)
{
	return (u64)code + offset;
}

/* A direct call to `to`; returns the return address. */
static u64 call_rel(u64 offset, u64 to)
{
	s32 rel = (s32)(to - (offset + 5));

	code[offset] = 0xe8;
	memcpy(code + offset + 1, &rel, sizeof(rel));
	return at(offset + 5);
}

static u64 put(u64 offset, const char *bytes, u32 len)
{
	memcpy(code + offset, bytes, len);
	return at(offset + len);
}

static int setup(void **state)
{
	struct ct_maps maps = { 0 };
	int fd = mkstemp(file);

	assert_int_equal(ftruncate(fd, CODE_PAGES * 4096), 0);
	code = mmap(NULL, CODE_PAGES * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	if (code == MAP_FAILED)
		return -1;
	memset(code, 0x90, CODE_PAGES * 4096);
	out = outbox_open();
	mods = ct_modules_create(out);
	assert_int_equal(ct_maps_load(getpid(), &maps), 0);
	map = ct_modmap_create(mods, getpid(), &maps);
	ct_maps_fini(&maps);
	return map ? 0 : -1;
}

static int teardown(void **state)
{
	ct_modmap_unref(map);
	ct_modules_destroy(mods);
	outbox_close(out);
	munmap(code, CODE_PAGES * 4096);
	unlink(file);
	remove_trace();
	return 0;
}

/* The caller found among these words; 0: none. */
static u64 pick(const u64 *words, u32 nr)
{
	u64 w[8] = { 0 };
	u32 n;

	memcpy(w, words, nr * sizeof(*words));
	n = ct_callers_pick(getpid(), map, at(PC), w, nr);
	assert_int_equal(w[0], at(PC));
	assert_true(n == 1 || n == 2);
	assert_int_equal(n == 2, w[1] != 0);
	return w[1];
}

static void test_no_call_is_refused(void **state)
{
	const u64 words[] = {
		0,	    /* nothing */
		at(0x500),  /* code, but no call before it */
		0x7,	    /* no code: far too low, */
		UINT64_MAX, /* far too high, */
		(u64)&words /* or on the stack */
	};

	assert_int_equal(pick(words, 5), 0);
	assert_int_equal(pick(words, 1), 0);
}

static void test_direct_call(void **state)
{
	const u64 words[] = { 0x1234, at(0x500), call_rel(0x600, FUNCTION), 99 };

	assert_int_equal(pick(words, 4), words[2]);
}

/* A call of something else, or of code behind the system call, is not its caller. */
static void test_call_of_another(void **state)
{
	const u64 words[] = {
		call_rel(0x600, PC + 0x10),
		call_rel(0x620, 0x2500), /* too far behind it */
		call_rel(0x640, (u64)-0x10000000),
	};
	/* Too far before it to be the same function. */
	u64 far_pc = 0x3100, w[2] = { call_rel(0x660, FUNCTION) };

	assert_int_equal(pick(words, 3), 0);
	assert_int_equal(ct_callers_pick(getpid(), map, at(far_pc), w, 1), 1);
}

static void test_indirect_call(void **state)
{
	const struct {
		const char *bytes;
		u32 len;
		bool is_call;
	} forms[] = {
		{ "\xff\xd0", 2, true },		     /* call *%rax */
		{ "\x41\xff\xd3", 3, true },		     /* call *%r11 */
		{ "\xff\x50\x10", 3, true },		     /* call *16(%rax) */
		{ "\xff\x15\x00\x01\x00\x00", 6, true },     /* call *256(%rip) */
		{ "\xff\x14\x25\x00\x10\x00\x00", 7, true }, /* call *0x1000 */
		{ "\xff\xe0", 2, false },		     /* jmp *%rax */
		{ "\xff\x30", 2, false },		     /* push (%rax) */
	};
	u32 i;

	for (i = 0; i < ct_array_size(forms); i++) {
		u64 words[] = { 1, put(0x700, forms[i].bytes, forms[i].len), 2 };

		assert_int_equal(pick(words, 3), forms[i].is_call ? words[1] : 0);
		memset(code + 0x700, 0x90, 16);
	}
}

/* What older calls left behind may lie before the true one. */
static void test_sure_beats_possible(void **state)
{
	const u64 stale = put(0x800, "\xff\xd0", 2);
	const u64 older = put(0x820, "\xff\xd3", 2);
	const u64 caller = call_rel(0x840, FUNCTION);
	const u64 further = call_rel(0x860, FUNCTION);

	assert_int_equal(pick((u64[]){ stale, older, caller, further }, 4), caller);
	assert_int_equal(pick((u64[]){ caller, stale }, 2), caller);
	/* Of two that are as good, the nearer one. */
	assert_int_equal(pick((u64[]){ stale, older }, 2), stale);
	assert_int_equal(pick((u64[]){ 5, further, caller }, 3), further);
}

static void test_without_a_map(void **state)
{
	u64 w[2] = { call_rel(0x600, FUNCTION), 0 };

	assert_int_equal(ct_callers_pick(getpid(), NULL, at(PC), w, 2), 1);
	assert_int_equal(w[0], at(PC));
}

/* It has gone: nothing can be read, and nothing is guessed. */
static void test_nobody_there(void **state)
{
	u64 w[2] = { call_rel(0x600, FUNCTION), 0 };

	assert_int_equal(ct_callers_pick(INT32_MAX, map, at(PC), w, 2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_call_is_refused),  cmocka_unit_test(test_direct_call),
		cmocka_unit_test(test_call_of_another),	    cmocka_unit_test(test_indirect_call),
		cmocka_unit_test(test_sure_beats_possible), cmocka_unit_test(test_without_a_map),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void)
{
	puts("SKIP: call instructions are known of x86-64 alone");
	return 77;
}
#endif
