;; Nests 90 components. Must be refused, or admitted without a crash of the host; it
;; exports no plan.
;; ends: admission TooMany
(component (component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component 
(component (component (component (component (component (component (component (component (component (component )))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
