"""
CPU kernels of pyllm.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing
import typing_extensions

class DLPackExport:
    """
    An array of pyllm on its way to another framework.
    """
    def __dlpack__(
        self,
        *,
        stream: typing.Any = None,
        max_version: typing.Any = None,
        dl_device: typing.Any = None,
        copy: typing.Any = None,
    ) -> typing_extensions.CapsuleType: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class BandwidthProbe:
    def __call__(self) -> None: ...
    def __init__(self, traffic: str, working_set: int) -> None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def streamed(self) -> bool: ...

class PackedForest:
    """
    A forest laid out for traversal.
    """
    def __init__(
        self,
        *,
        n_features: int,
        n_outputs: int,
        tree_offset: typing.Any,
        tree_output: typing.Any,
        feature: typing.Any,
        threshold: typing.Any,
        left: typing.Any,
        right: typing.Any,
        default_left: typing.Any,
        zero_is_missing: typing.Any,
        category_offset: typing.Any,
        category_words: typing.Any,
        category_bits: typing.Any,
        value: typing.Any,
        wide_keys: bool,
    ) -> None: ...

class TreeCodes:
    def __init__(
        self,
        narrow_by_row: typing.Any,
        narrow_by_column: typing.Any,
        wide_by_row: typing.Any,
        wide_by_column: typing.Any,
    ) -> None: ...

class TreeBins:
    def __init__(
        self,
        codes: TreeCodes,
        bins: collections.abc.Sequence[int],
        missing: collections.abc.Sequence[bool],
        categorical: collections.abc.Sequence[bool],
        wide: collections.abc.Sequence[bool],
        columns: collections.abc.Sequence[int],
        first: collections.abc.Sequence[int],
        usual: collections.abc.Sequence[int],
    ) -> None: ...

class TreeCriterion:
    """
    Members:

      newton

      poisson

      multinomial

      bernoulli

      absolute
    """

    __members__: typing.ClassVar[dict[str, TreeCriterion]]
    absolute: typing.ClassVar[TreeCriterion]
    bernoulli: typing.ClassVar[TreeCriterion]
    multinomial: typing.ClassVar[TreeCriterion]
    newton: typing.ClassVar[TreeCriterion]
    poisson: typing.ClassVar[TreeCriterion]
    @typing.overload
    def __eq__(self, other: TreeCriterion) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: int) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: TreeCriterion) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: int) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class TreeOptions:
    criterion: TreeCriterion
    extra_random: bool
    leafwise: bool
    def __init__(self) -> None: ...
    @property
    def category_l2(self) -> float: ...
    @category_l2.setter
    def category_l2(self, arg0: float) -> None: ...
    @property
    def category_smooth(self) -> float: ...
    @category_smooth.setter
    def category_smooth(self, arg0: float) -> None: ...
    @property
    def interaction(self) -> list[list[int]]: ...
    @interaction.setter
    def interaction(
        self, arg0: collections.abc.Sequence[collections.abc.Sequence[int]]
    ) -> None: ...
    @property
    def l1(self) -> float: ...
    @l1.setter
    def l1(self, arg1: float) -> None: ...
    @property
    def l2(self) -> float: ...
    @l2.setter
    def l2(self, arg1: float) -> None: ...
    @property
    def max_cat_threshold(self) -> int: ...
    @max_cat_threshold.setter
    def max_cat_threshold(self, arg0: int) -> None: ...
    @property
    def max_delta_step(self) -> float: ...
    @max_delta_step.setter
    def max_delta_step(self, arg1: float) -> None: ...
    @property
    def max_depth(self) -> int: ...
    @max_depth.setter
    def max_depth(self, arg0: int) -> None: ...
    @property
    def max_leaves(self) -> int: ...
    @max_leaves.setter
    def max_leaves(self, arg0: int) -> None: ...
    @property
    def max_onehot(self) -> int: ...
    @max_onehot.setter
    def max_onehot(self, arg0: int) -> None: ...
    @property
    def min_category_samples(self) -> int: ...
    @min_category_samples.setter
    def min_category_samples(self, arg0: int) -> None: ...
    @property
    def min_child_samples(self) -> int: ...
    @min_child_samples.setter
    def min_child_samples(self, arg0: int) -> None: ...
    @property
    def min_child_weight(self) -> float: ...
    @min_child_weight.setter
    def min_child_weight(self, arg0: float) -> None: ...
    @property
    def min_gain(self) -> float: ...
    @min_gain.setter
    def min_gain(self, arg0: float) -> None: ...
    @property
    def min_group_samples(self) -> int: ...
    @min_group_samples.setter
    def min_group_samples(self, arg0: int) -> None: ...
    @property
    def min_split_samples(self) -> int: ...
    @min_split_samples.setter
    def min_split_samples(self, arg0: int) -> None: ...
    @property
    def monotone(self) -> list[int]: ...
    @monotone.setter
    def monotone(self, arg0: collections.abc.Sequence[int]) -> None: ...
    @property
    def share_by_level(self) -> float: ...
    @share_by_level.setter
    def share_by_level(self, arg0: float) -> None: ...
    @property
    def share_by_node(self) -> float: ...
    @share_by_node.setter
    def share_by_node(self, arg0: float) -> None: ...
    @property
    def share_by_tree(self) -> float: ...
    @share_by_tree.setter
    def share_by_tree(self, arg0: float) -> None: ...

class TreeSparseCodes:
    def __init__(
        self,
        rows: int,
        cuts: collections.abc.Sequence[collections.abc.Sequence[float]],
        usual: collections.abc.Sequence[int],
    ) -> None: ...
    def add_columns(
        self,
        data: typing.Any,
        indices: typing.Any,
        offset: typing.Any,
        columns: collections.abc.Sequence[int],
        features: collections.abc.Sequence[int],
    ) -> None: ...
    def add_rows(
        self,
        x: typing.Any,
        first: int,
        columns: collections.abc.Sequence[int],
        features: collections.abc.Sequence[int],
        most: int,
    ) -> None: ...
    def bundles(
        self,
        features: collections.abc.Sequence[int],
        codes: collections.abc.Sequence[int],
        most: int,
    ) -> list[list[int]]: ...
    def store(
        self,
        plan: collections.abc.Sequence[
            tuple[bool, int, collections.abc.Sequence[int], collections.abc.Sequence[int]]
        ],
        codes: TreeCodes,
    ) -> None: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def missing(self) -> list[bool]: ...

class TreeRows:
    def __init__(
        self, data: typing.Any, indices: typing.Any, offset: typing.Any, features: int
    ) -> None: ...
    def cuts(
        self, times: typing.Any, weight: typing.Any, rows: int, total: float, max_bin: int
    ) -> list[list[float]]: ...
    @property
    def stored(self) -> list[int]: ...

class TreeRowCodes:
    def __init__(
        self,
        rows: TreeRows,
        cuts: collections.abc.Sequence[collections.abc.Sequence[float]],
        usual: collections.abc.Sequence[int],
    ) -> None: ...
    def bundles(
        self,
        features: collections.abc.Sequence[int],
        codes: collections.abc.Sequence[int],
        most: int,
    ) -> list[list[int]]: ...
    def store(
        self,
        plan: collections.abc.Sequence[
            tuple[bool, int, collections.abc.Sequence[int], collections.abc.Sequence[int]]
        ],
        codes: TreeCodes,
    ) -> None: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def missing(self) -> list[bool]: ...

class TreeBootstrap:
    def __init__(self, order: typing.Any, edges: typing.Any, even: bool, size: int) -> None: ...
    def draw(self, seed: int) -> numpy.typing.NDArray[numpy.int64]: ...

def adafactor_step(
    param: typing.Any,
    grad: typing.Any,
    exp_avg_sq_row: typing.Any,
    exp_avg_sq_col: typing.Any,
    exp_avg_sq: typing.Any,
    exp_avg: typing.Any,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    least_rms: float,
    clip_threshold: float,
    weight_decay: float,
    scale_parameter: bool,
    grad_scale: float = 1.0,
    master: typing.Any = None,
) -> None: ...
def adam_step(
    param: typing.Any,
    grad: typing.Any,
    exp_avg: typing.Any,
    exp_avg_sq: typing.Any,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    max_exp_avg_sq: typing.Any = None,
    grad_scale: float = 1.0,
    master: typing.Any = None,
    decoupled: bool = False,
) -> None: ...
def attention(
    query: typing.Any,
    key: typing.Any,
    value: typing.Any,
    causal: bool = False,
    window: typing.Any = None,
    scale: typing.Any = None,
    bias: typing.Any = None,
    key_padding_mask: typing.Any = None,
    alibi_slopes: typing.Any = None,
    softcap: typing.Any = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    cu_seqlens_q: typing.Any = None,
    cu_seqlens_k: typing.Any = None,
    out: typing.Any = None,
    return_lse: bool = False,
) -> typing.Any: ...
def attention_backward(
    grad: typing.Any,
    query: typing.Any,
    key: typing.Any,
    value: typing.Any,
    out: typing.Any,
    lse: typing.Any,
    causal: bool = False,
    window: typing.Any = None,
    scale: typing.Any = None,
    bias: typing.Any = None,
    key_padding_mask: typing.Any = None,
    alibi_slopes: typing.Any = None,
    softcap: typing.Any = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    cu_seqlens_q: typing.Any = None,
    cu_seqlens_k: typing.Any = None,
    need_dbias: bool = False,
    dq_out: typing.Any = None,
    dk_out: typing.Any = None,
    dv_out: typing.Any = None,
) -> typing.Any: ...
def attention_decode(
    query: typing.Any,
    key_cache: typing.Any,
    value_cache: typing.Any,
    lengths: typing.Any,
    block_table: typing.Any = None,
    window: typing.Any = None,
    scale: typing.Any = None,
    alibi_slopes: typing.Any = None,
    softcap: typing.Any = None,
    out: typing.Any = None,
) -> typing.Any: ...
def available_isas() -> list[str]: ...
def blas_config() -> str: ...
def cross_entropy(
    logits: typing.Any,
    targets: typing.Any,
    weight: typing.Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    return_lse: bool = False,
) -> typing.Any: ...
def cross_entropy_backward(
    grad: typing.Any,
    logits: typing.Any,
    targets: typing.Any,
    lse: typing.Any,
    weight: typing.Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    out: typing.Any = None,
) -> typing.Any: ...
def dequantize_blockwise(state: typing.Any, signed: bool) -> typing.Any: ...
def dropout(
    arg0: typing.Any, arg1: float, arg2: int, arg3: int, arg4: typing.Any, arg5: typing.Any
) -> typing.Any: ...
def dropout_backward(
    arg0: typing.Any, arg1: float, arg2: int, arg3: int, arg4: typing.Any
) -> typing.Any: ...
def embedding(ids: typing.Any, weight: typing.Any, out: typing.Any = None) -> typing.Any: ...
def embedding_backward(
    grad: typing.Any,
    ids: typing.Any,
    num_embeddings: int,
    padding_idx: int | None = None,
    out: typing.Any = None,
    accumulate: bool = False,
) -> typing.Any: ...
def empty_cache() -> None: ...
def empty_like(like: typing.Any, shape: collections.abc.Sequence[int]) -> typing.Any: ...
def forest_check(
    *,
    n_features: int,
    tree_offset: typing.Any,
    feature: typing.Any,
    threshold: typing.Any,
    left: typing.Any,
    right: typing.Any,
    category_offset: typing.Any,
    category_words: typing.Any,
    category_bits: typing.Any,
    value: typing.Any,
    gain: typing.Any,
    cover: typing.Any,
    count: typing.Any,
) -> typing.Any: ...
def forest_partial_dependence(
    forest: PackedForest,
    left_share: typing.Any,
    known: typing.Any,
    X: typing.Any,
    indices: typing.Any = None,
    indptr: typing.Any = None,
    absent: float = 0.0,
    *,
    round_up: bool,
) -> typing.Any: ...
def forest_predict(
    forest: PackedForest,
    X: typing.Any,
    indices: typing.Any = None,
    indptr: typing.Any = None,
    absent: float = 0.0,
    *,
    round_up: bool,
    first_tree: int,
    end_tree: int,
    out: typing.Any = None,
    leaves: bool = False,
) -> typing.Any: ...
def forest_shap(
    forest: PackedForest,
    left_share: typing.Any,
    X: typing.Any,
    indices: typing.Any = None,
    indptr: typing.Any = None,
    absent: float = 0.0,
    *,
    round_up: bool,
    interactions: bool = False,
) -> typing.Any: ...
def geglu(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: str,
    arg5: typing.Any,
) -> typing.Any: ...
def geglu_backward(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: typing.Any,
    arg5: str,
    arg6: typing.Any,
) -> typing.Any: ...
def gelu(arg0: typing.Any, arg1: typing.Any, arg2: str, arg3: typing.Any) -> typing.Any: ...
def gelu_backward(
    arg0: typing.Any, arg1: typing.Any, arg2: typing.Any, arg3: str, arg4: typing.Any
) -> typing.Any: ...
def isa() -> str: ...
def last_level_cache() -> int: ...
def layer_norm(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: float,
    arg5: typing.Any,
    arg6: bool,
) -> typing.Any: ...
def layer_norm_backward(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: typing.Any,
    arg5: typing.Any,
    arg6: typing.Any,
) -> typing.Any: ...
def linear(
    x: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    activation: typing.Any = None,
    out: typing.Any = None,
    return_preactivation: bool = False,
) -> typing.Any: ...
def linear_backward(
    grad: typing.Any,
    x: typing.Any,
    weight: typing.Any,
    bias: bool = False,
    activation: typing.Any = None,
    preactivation: typing.Any = None,
    need_dx: bool = True,
    need_dweight: bool = True,
    dx_out: typing.Any = None,
    dweight_out: typing.Any = None,
    dbias_out: typing.Any = None,
    accumulate: bool = False,
) -> typing.Any: ...
def linear_cross_entropy(
    hidden: typing.Any,
    weight: typing.Any,
    targets: typing.Any,
    bias: typing.Any = None,
    class_weight: typing.Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> typing.Any: ...
def linear_cross_entropy_forward_backward(
    hidden: typing.Any,
    weight: typing.Any,
    targets: typing.Any,
    bias: typing.Any = None,
    class_weight: typing.Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    dhidden_out: typing.Any = None,
    dweight_out: typing.Any = None,
    dbias_out: typing.Any = None,
    accumulate: bool = False,
    grad_scale: float = 1.0,
) -> typing.Any: ...
def lion_step(
    param: typing.Any,
    grad: typing.Any,
    exp_avg: typing.Any,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    grad_scale: float = 1.0,
    master: typing.Any = None,
) -> None: ...
def log_softmax(
    x: typing.Any,
    axis: int = -1,
    temperature: float = 1.0,
    mask: typing.Any = None,
    out: typing.Any = None,
) -> typing.Any: ...
def log_softmax_backward(
    grad: typing.Any,
    y: typing.Any,
    axis: int = -1,
    temperature: float = 1.0,
    out: typing.Any = None,
) -> typing.Any: ...
def matmul(
    a: typing.Any,
    b: typing.Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: typing.Any = None,
) -> typing.Any: ...
def measure_peak_flops() -> float: ...
def memory_stats() -> dict: ...
def num_threads() -> int: ...
def pointwise_binary(
    op: str, a: typing.Any, b: typing.Any, out: typing.Any = None
) -> typing.Any: ...
def pointwise_unary(op: str, x: typing.Any, out: typing.Any = None) -> typing.Any: ...
def quantize_blockwise(x: typing.Any, signed: bool) -> tuple: ...
def reduce(op: str, x: typing.Any, axes: int, leading: bool) -> typing.Any: ...
def relu(arg0: typing.Any, arg1: typing.Any, arg2: typing.Any) -> typing.Any: ...
def relu_backward(
    arg0: typing.Any, arg1: typing.Any, arg2: typing.Any, arg3: typing.Any
) -> typing.Any: ...
def reset_peak_memory() -> None: ...
def rms_norm(
    arg0: typing.Any, arg1: typing.Any, arg2: typing.Any, arg3: float, arg4: typing.Any, arg5: bool
) -> typing.Any: ...
def rms_norm_backward(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: typing.Any,
    arg5: typing.Any,
) -> typing.Any: ...
def rotary(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: bool,
    arg5: typing.Any,
) -> typing.Any: ...
def rotary_backward(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: bool,
    arg5: typing.Any,
) -> typing.Any: ...
def set_isa(name: str) -> None: ...
def set_last_level_cache(bytes: int) -> None: ...
def set_num_threads(n: int) -> None: ...
def sgd_step(
    param: typing.Any,
    grad: typing.Any,
    momentum_buffer: typing.Any,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
    grad_scale: float = 1.0,
    master: typing.Any = None,
) -> None: ...
def silu(arg0: typing.Any, arg1: typing.Any, arg2: typing.Any) -> typing.Any: ...
def silu_backward(
    arg0: typing.Any, arg1: typing.Any, arg2: typing.Any, arg3: typing.Any
) -> typing.Any: ...
def softmax(
    x: typing.Any,
    axis: int = -1,
    temperature: float = 1.0,
    mask: typing.Any = None,
    out: typing.Any = None,
) -> typing.Any: ...
def softmax_backward(
    grad: typing.Any,
    y: typing.Any,
    axis: int = -1,
    temperature: float = 1.0,
    out: typing.Any = None,
) -> typing.Any: ...
def sum_of_squares(x: typing.Any) -> float: ...
def swiglu(
    arg0: typing.Any, arg1: typing.Any, arg2: typing.Any, arg3: typing.Any, arg4: typing.Any
) -> typing.Any: ...
def swiglu_backward(
    arg0: typing.Any,
    arg1: typing.Any,
    arg2: typing.Any,
    arg3: typing.Any,
    arg4: typing.Any,
    arg5: typing.Any,
) -> typing.Any: ...
def tree_add_leaf_values(margin: typing.Any, leaf: typing.Any, value: typing.Any) -> None: ...
def tree_bin(
    x: typing.Any,
    cuts: collections.abc.Sequence[collections.abc.Sequence[float]],
    wide: collections.abc.Sequence[bool],
    columns: collections.abc.Sequence[int],
    first: int,
    codes: TreeCodes,
) -> list[bool]: ...
def tree_column_cuts(
    data: typing.Any,
    indices: typing.Any,
    offset: typing.Any,
    columns: collections.abc.Sequence[int],
    times: typing.Any,
    weight: typing.Any,
    rows: int,
    total: float,
    max_bin: int,
) -> list[list[float]]: ...
def tree_cuts(values: typing.Any, weight: typing.Any, max_bin: int) -> list[float]: ...
def tree_goss(
    gradient: typing.Any,
    hessian: typing.Any,
    top_rate: float,
    other_rate: float,
    seed: int,
    stream: int,
) -> numpy.typing.NDArray[numpy.int32]: ...
def tree_grow(
    bins: TreeBins,
    gradient: typing.Any,
    hessian: typing.Any,
    rows: typing.Any,
    options: TreeOptions,
    seed: int,
    quantized: bool,
) -> dict: ...
def tree_grow_averaged(
    bins: TreeBins,
    columns: typing.Any,
    target: typing.Any,
    weight: typing.Any,
    bootstrap: typing.Any,
    seeds: collections.abc.Sequence[int],
    options: TreeOptions,
    edges: typing.Any,
    first: typing.Any,
    leaf_of_row: typing.Any,
    drawn: typing.Any,
    progress: typing.Any,
) -> dict: ...
def tree_leaf_quantiles(
    x: typing.Any,
    leaf: typing.Any,
    nodes: int,
    level: float,
    weight: typing.Any = None,
    rows: typing.Any = None,
) -> typing.Any: ...
def tree_rank_gradient(
    gain: str,
    margin: typing.Any,
    relevance: typing.Any,
    query_offset: typing.Any,
    query_weight: typing.Any,
    gradient: typing.Any,
    hessian: typing.Any,
    sigmoid: float,
    truncation: int,
    normalize: bool,
) -> None: ...
def tree_row_gradient(
    loss: str,
    parameter: float,
    margin: typing.Any,
    target: typing.Any,
    weight: typing.Any,
    gradient: typing.Any,
    hessian: typing.Any,
) -> None: ...
def tree_sample_rows(
    n: int, fraction: float, seed: int, stream: int
) -> numpy.typing.NDArray[numpy.int32]: ...
def tree_softmax_gradient(
    margin: typing.Any,
    target: typing.Any,
    weight: typing.Any,
    gradient: typing.Any,
    hessian: typing.Any,
) -> None: ...
