"""Write budgets.json from what the compiler needs now."""

import json
from pathlib import Path

from tests.triton.ahead_of_time.compiled import results

budgets = {
    name: {
        target: {"registers": -(-used["registers"] // 8) * 8, "shared": used["shared"]}
        for target, used in targets.items()
    }
    for name, targets in results().items()
}
text = json.dumps(budgets, indent=2)
(Path(__file__).parent / "budgets.json").write_text(text + "\n")
