;; Declares a memory of 100 MiB from the start, more than pure calls may have. Must
;; not get an instance: out of memory, in `describe`.
;; ends: describe OutOfMemory
(memory $memory 1600)
