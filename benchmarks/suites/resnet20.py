# SPDX-License-Identifier: BSD-3-Clause
"""What a training step of ResNet-20 in w8a8g4 must compute and move, layer by layer, for rooflines."""

# (input channels, input size, output channels, stride, whether a residual's sum comes in, whether dX is wanted)
LAYERS = [(3, 32, 16, 1, False, False)]
for channels, size in ((16, 32), (32, 16), (64, 8)):
    for block in range(3):
        halves = block == 0 and channels > 16
        first = (channels // 2, size * 2, channels, 2) if halves else (channels, size, channels, 1)
        # The very first block's input is no residual's sum.
        LAYERS += [(*first, channels > 16 or block > 0, True), (channels, size, channels, 1, False, True)]


def products(size, stride):
    """Pairs of an output pixel and a tap of a 3x3 kernel whose pixel lies inside the image."""
    rows = sum(0 <= y * stride + r - 1 < size for y in range(size // stride) for r in range(3))
    return rows * rows


def costs(batch):
    """By pass: 10^9 operations (a multiply or an add), and 10^6 bytes from or to memory beyond the caches."""
    operations = dict.fromkeys(("forward", "encode_h", "gradients"), 0.0)
    moved = dict(operations)
    for inputs, size, outputs, stride, residual, wants_dx in LAYERS:
        x, y = max(inputs, 16) * size * size, outputs * (size // stride) ** 2
        macs = products(size, stride) * inputs * outputs
        # Reads sums in 2 bytes and the shortcut's codes where there is one, or the image in 4; writes codes in 1 byte,
        # which the product finds in cache; writes its sums in 2 bytes.
        operations["forward"] += 2 * macs
        moved["forward"] += (x * (2 + residual + 1) if wants_dx else 3 * size * size * 4 + x) + 2 * y
        # Batch normalization's reduction and the encoding each read the gradient and the sums in 2 bytes, and the
        # shortcut's codes behind a residual's sum; half a byte is written. The encoding reads twice, once from cache.
        moved["encode_h"] += y * (2 * (2 + 2) + 0.5)
        # Both products read codes of h, dW those of x; dX is written in 2 bytes, after the shortcut's gradient is read.
        operations["gradients"] += 2 * macs * (1 + wants_dx)
        moved["gradients"] += 2 * y * 0.5 + x + (x * 2 * (1 + residual) if wants_dx else 0)
    return ({key: value * batch * 1e-9 for key, value in operations.items()},
            {key: value * batch * 1e-6 for key, value in moved.items()})
