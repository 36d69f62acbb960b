#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// For files of many arguments: EITHER(good, wrong) is the wrong one where the file must not compile.

#if FQT_FAIL
#define EITHER(good, wrong) wrong
#else
#define EITHER(good, wrong) good
#endif
