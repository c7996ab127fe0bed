/* Fibers on ucontext with guarded, reused stacks. */
#include "fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)1 << 20) /* red zones make frames larger */
#else
#define STACK_BYTES ((size_t)256 << 10)
#endif
#define GUARD_BYTES ((size_t)4096)
#define MAX_IDLE 64u

static void switch_begin(void **fake, const void *bottom, size_t size)
{
#if WITH_ASAN
    __sanitizer_start_switch_fiber(fake, bottom, size);
#else
    (void)fake, (void)bottom, (void)size;
#endif
}

static void switch_end(void *fake, const void **old_bottom, size_t *old_size)
{
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, old_bottom, old_size);
#else
    (void)fake, (void)old_bottom, (void)old_size;
#endif
}

static char *stack_new(void)
{
    char *base = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, GUARD_BYTES, PROT_NONE) != 0) {
        munmap(base, GUARD_BYTES + STACK_BYTES);
        return NULL;
    }
    return base + GUARD_BYTES;
}

static void stack_free(char *stack)
{
    munmap(stack - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
}

/* makecontext passes ints only, so the two pointers travel in halves. */
static void start(unsigned host_high, unsigned host_low, unsigned high, unsigned low)
{
    struct fiber_host *host =
        (struct fiber_host *)(((uintptr_t)host_high << 32) | (uintptr_t)host_low);    // NOLINT
    struct fiber *fiber = (struct fiber *)(((uintptr_t)high << 32) | (uintptr_t)low); // NOLINT
    switch_end(NULL, &host->bottom, &host->size);
    fiber->body(fiber);
    fiber->ended = true;
    switch_begin(NULL, host->bottom, host->size); /* NULL: the fake stack is destroyed */
    setcontext(&host->context);
}

struct fiber *fiber_new(struct fiber_host *host, void (*body)(struct fiber *fiber), void *arg)
{
    struct fiber *fiber = host->idle;
    char *stack;
    if (fiber) {
        host->idle = fiber->next;
        host->idle_count--;
        stack = fiber->stack;
    } else {
        fiber = malloc(sizeof *fiber);
        stack = fiber ? stack_new() : NULL;
        if (!stack) {
            free(fiber);
            return NULL;
        }
    }
    *fiber = (struct fiber){.stack = stack, .body = body, .arg = arg};
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    uintptr_t h = (uintptr_t)host;
    uintptr_t f = (uintptr_t)fiber;
    makecontext(&fiber->context, (void (*)(void))(uintptr_t)start, 4, (unsigned)(h >> 32),
                (unsigned)(h & 0xffffffffu), (unsigned)(f >> 32), (unsigned)(f & 0xffffffffu));
    return fiber;
}

void fiber_run(struct fiber_host *host, struct fiber *fiber)
{
    host->current = fiber;
    switch_begin(&host->fake_stack, fiber->stack, STACK_BYTES);
    swapcontext(&host->context, &fiber->context);
    switch_end(host->fake_stack, NULL, NULL);
    host->current = NULL;
}

void fiber_park(struct fiber_host *host)
{
    struct fiber *fiber = host->current;
    switch_begin(&fiber->fake_stack, host->bottom, host->size);
    swapcontext(&fiber->context, &host->context);
    switch_end(fiber->fake_stack, &host->bottom, &host->size);
}

void fiber_drop(struct fiber_host *host, struct fiber *fiber)
{
    if (host->idle_count < MAX_IDLE) {
#if WITH_ASAN
        __asan_unpoison_memory_region(fiber->stack, STACK_BYTES);
#endif
        fiber->next = host->idle;
        host->idle = fiber;
        host->idle_count++;
        return;
    }
    stack_free(fiber->stack);
    free(fiber);
}

void fiber_host_done(struct fiber_host *host)
{
    while (host->idle) {
        struct fiber *fiber = host->idle;
        host->idle = fiber->next;
        stack_free(fiber->stack);
        free(fiber);
    }
    host->idle_count = 0;
}
