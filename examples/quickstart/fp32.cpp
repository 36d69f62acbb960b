// SPDX-License-Identifier: BSD-3-Clause
#include "train.hpp"

template quickstart::outcome quickstart::train<fqt::fp32>(const fqt::train_and_test&, const quickstart::recipe&,
                                                          fqt::confusion_matrix*);
