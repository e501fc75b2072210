"""Makes prompts of about so many tokens for any tokenizer, no two with a common beginning."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# Short common English nouns, most of which a tokenizer holds whole.
WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company", "system",
    "program", "question", "work", "number", "night", "point", "home", "water", "room", "mother", "area", "money",
    "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word", "business", "issue", "side",
    "kind", "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "end", "member",
)  # fmt: skip


@dataclass
class Prompts:
    """Draws prompts; `learn` tells it how many tokens its words became."""

    seed: int
    tokens_per_word: float = 1.0
    constant_tokens: float = 0.0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def draw(self, tokens: int) -> str:
        """Return a prompt of about ``tokens`` tokens; it begins at random, so that no prefix cache holds it."""
        words = max(1, round((tokens - self.constant_tokens) / self.tokens_per_word))
        return " ".join(self._random.choices(WORDS, k=words))

    def length(self, mean: float) -> int:
        """Return a length drawn evenly from half to one and a half of ``mean``."""
        return max(1, round(self._random.uniform(0.5, 1.5) * mean))

    def learn(self, words: tuple[int, int], tokens: tuple[int, int]) -> None:
        """Take the tokens that two prompts of so many words became."""
        per_word = (tokens[1] - tokens[0]) / (words[1] - words[0])
        if per_word > 0:
            self.tokens_per_word = per_word
            self.constant_tokens = tokens[0] - per_word * words[0]
