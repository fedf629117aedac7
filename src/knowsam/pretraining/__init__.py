"""Makes the weights that come with the program, from synthetic volumes alone: ``python -m knowsam.pretraining``.

`random_source` draws, `shapes` are the structures, `anatomy` composes them, `imaging` gives them grey values, `painter`
annotates slices as a person would, `episodes` asks for the others, `propagator_training` and `sam_training` say what
is learnt from that, `prompting` how SAM is asked, and `training_run` learns it.
"""
