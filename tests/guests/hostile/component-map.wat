;; Uses a map. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (type $map (map string u32)))
