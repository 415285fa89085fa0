;; Has two memories.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (memory 1)
    (memory 1)))
