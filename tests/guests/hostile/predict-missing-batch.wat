;; Predicts nothing for its batches. Must be bad output.
;; ends: evaluate BadOutput
(func $predict_batch
)
