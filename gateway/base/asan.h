/* AddressSanitizer's view of memory that this program hands out itself; nothing in other builds. */
#ifndef ARCA_BASE_ASAN_H
#define ARCA_BASE_ASAN_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
/* Through an integer: gcc takes a pointer to const for a promise to read fresh memory, and warns. */
#define ASAN_POISON(ptr, size)   asan_mark((uintptr_t)(ptr), size, __asan_poison_memory_region)
#define ASAN_UNPOISON(ptr, size) asan_mark((uintptr_t)(ptr), size, __asan_unpoison_memory_region)
__attribute__((noinline, unused)) static void asan_mark(uintptr_t place, size_t size,
                                                        void (*mark)(void const volatile *, size_t))
{
    mark((const volatile void *)place, size);
}
#else
#define ASAN_POISON(ptr, size)   ((void)(ptr), (void)(size))
#define ASAN_UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif

#endif
