"""The optimizer and the learning rate of a run."""

from pyllm import optim
from pyllm.nn import Module
from pyllm.optim import schedules
from pyllm.train.config import TrainConfig


def make_optimizer(model: Module, config: TrainConfig) -> optim.Optimizer:
    """The optimizer over all parameters; matrices decay, vectors (biases, norms) do not."""
    parameters = model.parameters()
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    rate, clip, betas = config.learning_rate, config.clip or None, (config.beta1, config.beta2)
    bits = config.state_bits
    match config.optimizer:
        case "sgd":
            return optim.SGD(
                groups,
                rate,
                momentum=config.beta1,
                nesterov=True,
                state_bits=bits,
                max_norm=clip,
            )
        case "lion":
            return optim.Lion(groups, rate, betas, state_bits=bits, max_norm=clip)
        case "adafactor":
            return optim.Adafactor(groups, rate, scale_parameter=False, max_norm=clip)
        case "adam":
            return optim.Adam(groups, rate, betas, state_bits=bits, max_norm=clip)
        case _:
            return optim.AdamW(groups, rate, betas, state_bits=bits, max_norm=clip)


def make_schedule(config: TrainConfig) -> schedules.Schedule:
    """Learning rate by step: linear warm-up, then the schedule over the remaining steps."""
    peak, rest = config.learning_rate, max(1, config.steps - config.warmup)
    final = peak * config.final_learning_rate
    after = {
        "constant": lambda: schedules.constant(peak),
        "linear": lambda: schedules.linear(peak, rest, final),
        "cosine": lambda: schedules.cosine(peak, rest, final),
        "exponential": lambda: schedules.exponential(peak, rest, final or peak * 1e-3),
        "inverse_sqrt": lambda: schedules.inverse_sqrt(peak, max(1, config.warmup)),
    }[config.schedule]()
    return schedules.warm_up(after, peak, config.warmup) if config.warmup else after
