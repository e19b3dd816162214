"""What each means earns: the same thing made again with one means left out, and measured beside it.

- `voices`: of learning voices, by short trainings on crops from nothing.
- `conversations`: of learning conversations, by short trainings that go on with the default model.
- `pipeline`: of telling speakers apart with the frames of the default model; nothing is trained.

Each is a command (`python -m training.levers.voices`) that writes its JSON to `measured/levers`,
for the card.
"""
