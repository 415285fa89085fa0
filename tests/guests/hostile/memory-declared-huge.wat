;; Declares a memory of 4 GiB from the start. Must not get an instance: out of
;; memory, in `describe`.
;; ends: describe OutOfMemory
(memory $memory 65536)
