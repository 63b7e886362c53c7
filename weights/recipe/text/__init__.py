"""Training of the mini text encoder from stored CLIP vectors, MiniLM and WordNet.

The steps, a module each: `phrases` (names with their CLIP vectors), `features` of names, `kernel`
(regression from features to vectors), `training_targets` (names with the vectors to learn),
`student` (training of the network), `lexicon` (compressed vectors of common names), `merges`
(CLIP's tokenizer), `weights_writer`, `evaluation` on held-out names. `train` runs all of them.
"""
