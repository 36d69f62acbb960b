// SPDX-License-Identifier: BSD-3-Clause
#include "train.hpp"

template quickstart::outcome quickstart::train<fqt::w8a8_blocks<2>>(const fqt::train_and_test&,
                                                                    const quickstart::recipe&, fqt::confusion_matrix*);
