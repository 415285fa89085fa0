;; Has a memory with pages of one byte.
;; Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core module
    (memory 1 (pagesize 1))))
