#pragma once
// What the self-check of KV types reads: some 700 tokens of prose, code, a list and a conversation
// that come back to what was said early, for that is where a bad cache shows.

namespace hearth {

inline constexpr const char* kKvCheckText = R"(The lighthouse keeper and his three clocks

On the island of Marrow Point the lighthouse had been kept by the same family for a hundred and forty
years. Tobias Hale, the last of them, owned three clocks. The brass one in the kitchen ran four minutes
fast, the oak one on the stairs ran two minutes slow, and the small silver one, a gift from his
grandmother Ingrid, stopped whenever the wind came from the north. He never set them right. "When all
three agree," he used to say, "something out there is wrong." On the ninth of March, at six in the
evening, the brass clock showed four minutes past, the oak clock two minutes to, and the silver one
had stopped at half past two. A boat called the Petrel was due before dark with flour, lamp oil and the
new schoolteacher, Miss Adeline Crowe, who had never seen the sea before.

The Petrel came late. Tobias saw her lamp first, low in the water, and then heard the engine cough. He
rang the bell twice, which meant: stay west of the rocks. The boat answered once, which meant: we have
understood. By the time she was tied up, the flour was wet, the lamp oil was safe, and the schoolteacher
was asking how many children there were on the island.

"Seven," said Tobias. "Eight, if the Hansens come back from the mainland."

Here is the program she later wrote to keep the register of her school:

```python
from dataclasses import dataclass, field

@dataclass
class Pupil:
    name: str
    age: int
    absences: list[str] = field(default_factory=list)

class Register:
    def __init__(self):
        self.pupils = {}

    def enrol(self, name, age):
        if name in self.pupils:
            raise ValueError(f"{name} is enrolled already")
        self.pupils[name] = Pupil(name, age)

    def mark_absent(self, name, day):
        pupil = self.pupils.get(name)
        if pupil is None:
            raise KeyError(name)
        pupil.absences.append(day)

    def most_absent(self):
        return max(self.pupils.values(), key=lambda pupil: len(pupil.absences))

register = Register()
register.enrol("Anna Hansen", 9)
register.enrol("Peter Hansen", 7)
register.mark_absent("Peter Hansen", "2 May")
print(register.most_absent().name)
```

Questions for the class:
1. How many clocks did Tobias Hale own, and which of them ran fast?
2. What did it mean when he rang the bell twice?
3. What was the name of the boat, and what did it bring?
4. What does the program above print, and why?

Answers:
1. He owned three clocks. The brass one in the kitchen ran four minutes fast.
2. When he rang the bell twice, it meant that the boat should stay west of the rocks.
3. The boat was called the Petrel. It brought flour, lamp oil and the new schoolteacher, Miss Adeline
Crowe.
4. It prints "Peter Hansen", because he is the pupil with the most absences: one, on the second of May.
)";

}  // namespace hearth
