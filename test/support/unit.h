/* cmocka with the headers that it expects to be there. */
#ifndef ARCA_TEST_UNIT_H
#define ARCA_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
