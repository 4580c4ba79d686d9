"""The readout of training and evaluation is that of the device, and both are the definition."""

import math

import numpy as np
import pytest
import torch

from stdl_events.live.readout import MeanSoFar, mean_logits, softmax
from stdl_events.network.readout import Readout

STEPS, BATCH, CLASSES = 7, 3, 4


@pytest.mark.parametrize("sizes", [[1] * STEPS, [STEPS], [3, 3, 1]])
def test_torch_and_numpy_agree_with_the_sum_written_out(sizes):
    logits_TBK = np.random.default_rng(0).normal(0, 30, (STEPS, BATCH, CLASSES))
    readout, at = Readout(), 0
    for size in sizes:
        readout.add(list(torch.from_numpy(logits_TBK[at : at + size])))
        at += size
    expected = [[sum(step[b][k] for step in logits_TBK) / STEPS for k in range(CLASSES)] for b in range(BATCH)]
    np.testing.assert_allclose(readout.mean().numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(mean_logits(list(logits_TBK)), expected, rtol=1e-13)


def test_a_mean_of_float32_is_taken_in_float64():
    logits_T = [np.array([1e8], np.float32), np.array([1.0], np.float32), np.array([-1e8], np.float32)]
    assert mean_logits(logits_T)[0] == pytest.approx(1 / 3, rel=1e-12)


def test_softmax_is_its_formula_and_does_not_overflow():
    row = [1.0, -2.5, 0.25]
    total = sum(map(math.exp, row))
    np.testing.assert_allclose(softmax(np.array(row)), [math.exp(value) / total for value in row], rtol=1e-14)
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [0.0, 0.0]])), [[1.0, 0.0], [0.5, 0.5]], rtol=1e-14)


@pytest.mark.parametrize("last", [None, 4])
def test_a_mean_that_goes_on_has_the_bits_of_the_mean_of_its_steps(last):
    logits_TK = np.random.default_rng(0).normal(scale=1e3, size=(40, 8)).astype(np.float32)
    mean = MeanSoFar(last)
    for _ in range(2):
        for step, logits_K in enumerate(logits_TK):
            expected = mean_logits(logits_TK[max(0, step + 1 - (last or 40)) : step + 1])
            np.testing.assert_array_equal(mean.push(logits_K), expected)
        mean.restart()
